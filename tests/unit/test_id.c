/* test_id.c - random ids: never the same twice, also after a fork. */
#include "check.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "id.h"

#define MANY 2000

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, ID_HEX_LEN);
}

static void never_twice(void **state)
{
	static char ids[MANY][ID_HEX_LEN + 1];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		id_new(ids[i]);
		assert_true(id_valid(str_from(ids[i])));
	}
	qsort(ids, MANY, sizeof(ids[0]), compare);
	for (int i = 1; i < MANY; i++)
		assert_true(compare(ids[i - 1], ids[i]) != 0);
}

/* What the parent has in store is not the child's. Not whole ids: their time differs. */
static void fork_safe(void **state)
{
	unsigned char mine[16], childs[16] = {0};
	int pipe_fd[2], status;
	pid_t pid;

	(void)state;
	id_random(mine, sizeof(mine));
	assert_int_equal(pipe(pipe_fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		id_random(childs, sizeof(childs));
		_exit(write(pipe_fd[1], childs, sizeof(childs)) == sizeof(childs) ? 0
										  : 1);
	}
	id_random(mine, sizeof(mine));
	assert_int_equal(read(pipe_fd[0], childs, sizeof(childs)), sizeof(childs));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_memory_not_equal(mine, childs, sizeof(mine));
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

/* Those that are made later sort behind. */
static void carries_time(void **state)
{
	char first[ID_HEX_LEN + 1], second[ID_HEX_LEN + 1];

	(void)state;
	id_new(first);
	usleep(3000);
	id_new(second);
	assert_true(memcmp(first, second, 12) < 0);
	assert_int_equal(first[12], '7');
	assert_non_null(strchr("89ab", first[16]));
}

static void any_size(void **state)
{
	unsigned char a[256] = {0}, b[256] = {0};

	(void)state;
	for (size_t n = 8; n <= sizeof(a); n += 31) {
		id_random(a, n);
		id_random(b, n);
		assert_memory_not_equal(a, b, n);
	}
}

RUN(cmocka_unit_test(never_twice), cmocka_unit_test(fork_safe),
    cmocka_unit_test(carries_time), cmocka_unit_test(any_size))
