/*
 * slowsync.c - LD_PRELOAD: every fsync takes SYNC_US microseconds longer.
 *
 * Makes a fast disk behave like the replicated storage under a managed database.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*sync_fn)(int fd);

static void slow_down(void)
{
	const char *us = getenv("SYNC_US");

	if (us)
		usleep((useconds_t)strtoul(us, NULL, 10));
}

static int sync_by(const char *name, int fd)
{
	sync_fn original;

	/* POSIX lets a data pointer of dlsym() be a function. */
	*(void **)&original = dlsym(RTLD_NEXT, name);
	slow_down();
	return original(fd);
}

int fdatasync(int fd)
{
	return sync_by("fdatasync", fd);
}

int fsync(int fd)
{
	return sync_by("fsync", fd);
}
