/* id.c - random ids and SHA-256 on OpenSSL. */
#include "id.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/random.h>

void id_random(void *dst, size_t n)
{
	/* Requests of up to 256 bytes are never cut short (getrandom(2)). */
	if (n > 256 || getrandom(dst, n, 0) != (ssize_t)n)
		abort();
}

void id_new(char *dst)
{
	unsigned char bytes[ID_HEX_LEN / 2];

	id_random(bytes, sizeof(bytes));
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
