/* http_status.h - reason phrases (RFC 9110 section 15). */
#ifndef COMMON_HTTP_STATUS_H
#define COMMON_HTTP_STATUS_H

/* Never NULL; "Unknown" for a code that is not registered. */
const char *http_reason(int status);

#endif
