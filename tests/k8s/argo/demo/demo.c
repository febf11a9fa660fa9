/* demo.c - the image of the Argo CD tests: answers its version, or is a Job that succeeds
 * or fails. */

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void quit(int sig)
{
	(void)sig;
	_exit(0);
}

/* One request at a time; what it asks for does not matter. */
static void answer(int client)
{
	char request[8192], reply[256];
	const char *version = VERSION "\n";
	int len = snprintf(
		reply, sizeof(reply),
		"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		strlen(version), version);

	if (read(client, request, sizeof(request)) > 0 &&
	    write(client, reply, (size_t)len) != len)
		perror("write");
	close(client);
}

static int serve(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
	int on = 1, server = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGTERM, quit);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(server, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(server, 64)) {
		perror("listen");
		return 1;
	}
	for (;;)
		answer(accept(server, NULL, NULL));
}

/* demo serve | demo exit STATUS */
int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "exit"))
		return (int)strtol(argv[2], NULL, 10);
	if (argc == 2 && !strcmp(argv[1], "serve"))
		return serve();
	fprintf(stderr, "usage: demo serve | demo exit STATUS\n");
	return 2;
}
