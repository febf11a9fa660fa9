/* id.c - random ids and SHA-256 on OpenSSL. */
#include "id.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "timeutil.h"

/* Bytes in store for one thread: a system call for each id shows in profiles. */
#define STORE_BYTES 256 /* requests of this size are never cut short (getrandom(2)) */

static _Thread_local struct {
	unsigned left;
	unsigned char bytes[STORE_BYTES];
} store;

/* Parent and child must not hand out the same bytes. A child has one thread. */
static void forget_store(void)
{
	store.left = 0;
}

static void watch_forks(void)
{
	if (pthread_atfork(NULL, NULL, forget_store) != 0)
		abort();
}

static void fill_store(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	if (getrandom(store.bytes, STORE_BYTES, 0) != STORE_BYTES)
		abort();
	store.left = STORE_BYTES;
}

void id_random(void *dst, size_t n)
{
	if (n > STORE_BYTES)
		abort();
	if (store.left < n)
		fill_store();
	store.left -= (unsigned)n;
	memcpy(dst, store.bytes + store.left, n);
	/* What was handed out may be a secret: it is kept nowhere else. */
	memset(store.bytes + store.left, 0, n);
}

void id_new(char *dst)
{
	unsigned char bytes[ID_HEX_LEN / 2];
	uint64_t ms = (uint64_t)time_now_ms();

	id_random(bytes, sizeof(bytes));
	for (int i = 5; i >= 0; i--, ms >>= 8)
		bytes[i] = (unsigned char)ms;
	bytes[6] = 0x70 | (bytes[6] & 0x0f);
	bytes[8] = 0x80 | (bytes[8] & 0x3f);
	str_hex(dst, bytes, sizeof(bytes));
}

bool id_valid(struct str id)
{
	if (id.len != ID_HEX_LEN)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
	}
	return true;
}

void id_sha256(unsigned char *dst, const void *data, size_t n)
{
	if (EVP_Digest(data, n, dst, NULL, EVP_sha256(), NULL) != 1)
		abort();
}

void id_sha256_hex(char *dst, const void *data, size_t n)
{
	unsigned char digest[32];

	id_sha256(digest, data, n);
	str_hex(dst, digest, sizeof(digest));
}

bool id_secret_eq(struct str a, struct str b)
{
	unsigned char da[32], db[32];

	id_sha256(da, a.at, a.len);
	id_sha256(db, b.at, b.len);
	return CRYPTO_memcmp(da, db, sizeof(da)) == 0;
}
