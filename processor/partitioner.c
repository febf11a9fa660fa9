/* partitioner.c - MurmurHash2 with Kafka's seed, as in its Utils.murmur2(). */
#include "partitioner.h"

#define SEED     0x9747b28cu
#define MULTIPLY 0x5bd1e995u
#define SHIFT    24

static uint32_t mix(uint32_t k)
{
	k *= MULTIPLY;
	k ^= k >> SHIFT;
	return k * MULTIPLY;
}

static uint32_t byte_at(struct str key, size_t i)
{
	return (uint32_t)(unsigned char)key.at[i];
}

uint32_t partitioner_murmur2(struct str key)
{
	size_t whole = key.len & ~(size_t)3;
	uint32_t h = SEED ^ (uint32_t)key.len;

	for (size_t i = 0; i < whole; i += 4) {
		uint32_t k = byte_at(key, i) | byte_at(key, i + 1) << 8 |
			     byte_at(key, i + 2) << 16 | byte_at(key, i + 3) << 24;

		h *= MULTIPLY;
		h ^= mix(k);
	}
	if (key.len > whole) {
		for (size_t i = key.len; i-- > whole;)
			h ^= byte_at(key, i) << (8 * (i - whole));
		h *= MULTIPLY;
	}
	h ^= h >> 13;
	h *= MULTIPLY;
	return h ^ h >> 15;
}

int32_t partitioner_of(struct str key, int32_t count)
{
	/* The Java client clears the sign bit. */
	return (int32_t)((partitioner_murmur2(key) & 0x7fffffffu) % (uint32_t)count);
}
