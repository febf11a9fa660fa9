/* certificate.c - look at the certificates that we were given to trust. */
#include "certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

static int64_t not_after_s(const X509 *cert)
{
	struct tm tm = {0};

	if (!ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm))
		return 0;
	return (int64_t)timegm(&tm);
}

int64_t certificate_expiry_s(const char *file)
{
	FILE *in = fopen(file, "re");
	int64_t first = 0;
	X509 *cert;

	if (!in)
		return 0;
	while ((cert = PEM_read_X509(in, NULL, NULL, NULL))) {
		int64_t end = not_after_s(cert);

		if (!first || end < first)
			first = end;
		X509_free(cert);
	}
	/* To the library the end of the file is an error. */
	ERR_clear_error();
	fclose(in);
	return first;
}
