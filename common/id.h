/*
 * id.h - unguessable ids and keyed hashes.
 */
#ifndef COMMON_ID_H
#define COMMON_ID_H

#include <stddef.h>
#include <stdint.h>

#include "str.h"

#define ID_HEX_LEN 32 /* 128 bits as lower-case hex */

/* The kernel's random bytes, at most 256; aborts if there are none. Each thread keeps
 * a few in store; a forked child does not get those of its parent. */
void id_random(void *dst, size_t n);
/* A UUID of version 7 (RFC 9562) as plain hex: 48 bits of time in ms, then 74
 * random bits.  Ids of the same time are neighbours in an index, so that a table
 * of millions of them is written at its end and not all over the disk.
 * dst holds ID_HEX_LEN + 1 bytes. Used for request, reservation and event ids. */
void id_new(char *dst);
/* A well-formed id as made by id_new()? */
bool id_valid(struct str id);
/* SHA-256; dst holds 32 bytes. */
void id_sha256(unsigned char *dst, const void *data, size_t n);
/* The same as 64 lower-case hex digits; dst holds 65 bytes. */
void id_sha256_hex(char *dst, const void *data, size_t n);
/* Compares secrets without telling by its run time where they differ. */
bool id_secret_eq(struct str a, struct str b);

#endif
