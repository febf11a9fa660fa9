/* http_problem.c - error bodies as application/problem+json (RFC 9457). */
#include "http_internal.h"
#include "http_status.h"

static const struct {
	int status;
	const char *code;
} codes[] = {
	{400, "bad_request"},           {404, "not_found"},
	{405, "method_not_allowed"},    {408, "request_timeout"},
	{413, "content_too_large"},     {414, "uri_too_long"},
	{417, "expectation_failed"},    {431, "header_too_large"},
	{501, "not_implemented"},       {503, "unavailable"},
	{505, "version_not_supported"},
};

const char *http_problem_code(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (codes[i].status == status)
			return codes[i].code;
	}
	return "error";
}

void http_problem_write(struct jw *w, const struct http_problem *problem)
{
	jw_object(w);
	jw_kstrz(w, "type", "about:blank");
	jw_kstrz(w, "title", http_reason(problem->status));
	jw_kint(w, "status", problem->status);
	if (problem->detail)
		jw_kstrz(w, "detail", problem->detail);
	jw_kstrz(w, "code", problem->code);
	jw_kstr(w, "request_id", problem->request_id);
	if (problem->field && problem->field[0]) {
		jw_key(w, "errors");
		jw_array(w);
		jw_object(w);
		jw_kstrz(w, "field", problem->field);
		jw_kstrz(w, "detail", problem->detail);
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
}
