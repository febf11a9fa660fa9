/* counters.c - how orders end, as metrics. */
#include "app.h"

static struct metric *result(struct metrics *metrics, const char *labels)
{
	return metrics_counter(metrics, "shop_orders_total", "Orders by how they ended",
			       labels);
}

void counters_init(struct order_counters *counters, struct metrics *metrics)
{
	counters->placed = result(metrics, "result=\"placed\"");
	counters->replayed = result(metrics, "result=\"replayed\"");
	counters->refused = result(metrics, "result=\"refused\"");
	counters->undone = result(metrics, "result=\"undone\"");
	counters->fenced = result(metrics, "result=\"fenced\"");
	counters->cancelled = result(metrics, "result=\"cancelled\"");
}
