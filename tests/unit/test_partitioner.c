/* test_partitioner.c - the vectors of Kafka's own Utils.murmur2 test. */
/* link: processor/partitioner.c */
#include "check.h"

#include <stdio.h>

#include "processor/partitioner.h"

static void vectors(void **state)
{
	static const struct {
		const char *key;
		int32_t hash;
	} known[] = {
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		assert_int_equal((int32_t)partitioner_murmur2(str_from(known[i].key)),
				 known[i].hash);
}

static void in_range(void **state)
{
	char key[24];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int len = snprintf(key, sizeof(key), "%d", i);
		int32_t p = partitioner_of((struct str){key, (size_t)len}, 12);

		assert_in_range(p, 0, 11);
	}
	assert_int_equal(partitioner_of(STR(""), 1), 0);
}

RUN(cmocka_unit_test(vectors), cmocka_unit_test(in_range))
