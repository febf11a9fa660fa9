/* settings.c - the table of analytics-svc's own settings. */
#include "settings.h"

const struct config_entry settings_config[] = {
	CFG_LISTEN(struct settings, listen, "LISTEN", "127.0.0.1:8085",
		   "address of the service's HTTP listener"),
	CFG_STR(struct settings, internal_url, "INTERNAL_URL", "http://127.0.0.1:8090",
		"base URL of the gateway's internal listener"),
	CFG_STR(struct settings, results_topic, "RESULTS_TOPIC", "analytics-results",
		"Kafka topic with the results of the processor"),
	CFG_INT(struct settings, max_users, "MAX_USERS", "1000000", 2, 100000000,
		"users kept in memory (53 to 107 bytes each, for a moment three times "
		"that); beyond it, those who spent most"),
	CFG_INT(struct settings, max_streams, "MAX_STREAMS", "256", 1, 100000,
		"clients of the event stream at one time"),
	CFG_END,
};
