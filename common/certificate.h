/* certificate.h - until when the certificates of a PEM file are valid. */
#ifndef COMMON_CERTIFICATE_H
#define COMMON_CERTIFICATE_H

#include <stdint.h>

/* notAfter, in seconds since 1970, of the certificate in the file that ends first. 0:
 * there is none, or the file cannot be read. */
int64_t certificate_expiry_s(const char *file);

#endif
