/* relay_waiting.c - a short list, walked from end to end. */
#include "relay_waiting.h"

#include <stdio.h>

void relay_waiting_add(struct relay_waiting *waiting, int64_t user_id, int64_t until_ms)
{
	size_t i = 0;

	while (i < waiting->n && waiting->users[i].user_id != user_id)
		i++;
	if (i == RELAY_WAITING_MAX)
		return;
	if (i == waiting->n)
		waiting->n++;
	waiting->users[i].user_id = user_id;
	waiting->users[i].until_ms = until_ms;
}

const char *relay_waiting_text(struct relay_waiting *waiting, int64_t now_ms)
{
	size_t len = 0, kept = 0;

	waiting->text[0] = '\0';
	for (size_t i = 0; i < waiting->n; i++) {
		if (waiting->users[i].until_ms <= now_ms)
			continue;
		waiting->users[kept++] = waiting->users[i];
		len += (size_t)snprintf(waiting->text + len, sizeof(waiting->text) - len,
					"%s%lld", len ? "," : "",
					(long long)waiting->users[i].user_id);
	}
	waiting->n = kept;
	return waiting->text;
}
