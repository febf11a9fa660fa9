/*
 * sock.h - a non-blocking connection with an input and an output buffer.
 *
 * Smaller than a bufferevent, and faster for a proxy: it reads up to 64 KB a
 * call, and tries to send at once instead of waiting for the loop to say so.
 * The two static functions read_some() and write_some() are the only ones that
 * move bytes over the descriptor, so that TLS has one place to go.
 *
 * No callback of sock_ops runs inside a function of this header; each is the
 * last thing that the loop's event does with the connection, so a callback may
 * free it.
 */
#ifndef GATEWAY_SOCK_H
#define GATEWAY_SOCK_H

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SOCK_READ_BYTES 65536
/* Output above HIGH: whoever feeds it stops reading, until it is below LOW. */
#define SOCK_HIGH 262144
#define SOCK_LOW  65536
/* Who takes less than so many bytes in so long, while output waits for it, is stuck. */
#define SOCK_STUCK_BYTES 32768
#define SOCK_STUCK_MS    30000

enum sock_end {
	SOCK_EOF,          /* the peer sends no more */
	SOCK_FAILED,       /* reset, refused; nothing more can be read */
	SOCK_WRITE_FAILED, /* cannot send any more; what it sent may still be read */
};

struct sock_ops {
	void (*readable)(void *arg); /* there is new input */
	void (*writable)(void *arg); /* connected, or the output fell below SOCK_LOW */
	void (*ended)(void *arg, enum sock_end end);
};

/*
 * What all connections of a thread share: room for one read, and a budget.  While
 * `held` is above `max` and nobody made room, nothing more is read: so `held` passes
 * `max` by one read and the answers to it, however many connections there are.
 */
struct sock_shared {
	char scratch[SOCK_READ_BYTES];
	size_t held; /* bytes in buffers of all connections, and what lies beside them */
	size_t max;
	bool shedding;           /* shed() was called; whoever made room sets it back */
	void (*shed)(void *arg); /* before a read: may end connections later, not now */
	void *arg;
};

struct sock {
	int fd; /* -1: closed */
	struct evbuffer *in, *out;
	struct event read_event, write_event;
	const struct sock_ops *ops;
	void *arg;
	struct sock_shared *shared;
	size_t held;   /* its part of shared->held */
	size_t beside; /* of which its owner keeps so much outside of the buffers */
	bool connecting;
	bool reading;    /* the read event is on */
	bool no_more_in; /* EOF or failure was seen */
	bool write_dead;
	uint64_t sent; /* bytes that left `out` */
	/* kept by sock_tick() */
	bool stuck;
	int64_t judged_ms; /* when enough was taken, or output began to wait; 0: none */
	uint64_t judged_taken;
};

/* Takes over the descriptor; reading is off. */
void sock_init(struct sock *sock, struct event_base *base, int fd,
	       struct sock_shared *shared, const struct sock_ops *ops, void *arg);
/* Starts to connect; writable() or ended() will tell. false: not even that. */
bool sock_connect(struct sock *sock, struct event_base *base, const struct sockaddr *addr,
		  int addr_len, struct sock_shared *shared, const struct sock_ops *ops,
		  void *arg);
void sock_close(struct sock *sock); /* twice is fine */

void sock_read_on(struct sock *sock, bool on);
/* So many bytes are kept outside of the buffers on its behalf. */
void sock_keeps(struct sock *sock, size_t beside);
/* Sends what `out` has, now as far as it goes and later the rest. */
void sock_flush(struct sock *sock);
void sock_nodelay(int fd);
/* Sets `stuck`; to be called at least every few seconds. */
void sock_tick(struct sock *sock, int64_t now_ms);

static inline size_t sock_pending(const struct sock *sock)
{
	return evbuffer_get_length(sock->out);
}

#endif
