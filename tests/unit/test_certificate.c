/* test_certificate.c - which certificate of a file ends first? */
#include "check.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "certificate.h"

static char path[] = "/tmp/certificateXXXXXX";
static EVP_PKEY *key;

static int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	close(fd);
	key = EVP_EC_gen("P-256");
	return fd < 0 || !key ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	return unlink(path);
}

static void append(time_t end)
{
	X509 *cert = X509_new();
	FILE *out = fopen(path, "a");

	ASN1_TIME_set(X509_getm_notBefore(cert), 1);
	ASN1_TIME_set(X509_getm_notAfter(cert), end);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_true(PEM_write_X509(out, cert));
	fclose(out);
	X509_free(cert);
}

static void of_several_the_first_to_end(void **state)
{
	(void)state;
	assert_int_equal(certificate_expiry_s(path), 0);
	append(2000000000);
	assert_int_equal(certificate_expiry_s(path), 2000000000);
	append(1900000000);
	append(4000000000); /* after 2050 the form of the date is another */
	assert_int_equal(certificate_expiry_s(path), 1900000000);
}

static void what_is_none(void **state)
{
	FILE *out = fopen(path, "w");

	(void)state;
	fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", out);
	fclose(out);
	assert_int_equal(certificate_expiry_s(path), 0);
	assert_int_equal(certificate_expiry_s("/nowhere"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(of_several_the_first_to_end),
					   cmocka_unit_test(what_is_none)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
