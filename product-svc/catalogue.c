/*
 * catalogue.c - keeps the copy of the catalogue true by looking at the database.
 *
 *   tick, or a reader that waits -> look (a worker) -> look_done -> readers go on
 *
 * One look is on its way at a time; who needs one while it is shares the next.
 * `clock` counts looks and what they must not miss, so "began after" is a
 * comparison of numbers.  Looks alone write into the copy, in the order of the
 * catalogue's own numbers (catalogue_version), never by clocks.
 *
 * A look reads the stock of the products that were asked for since the last one:
 * what is read often stays fresh, what is not costs nothing.
 *
 * The copy is loaded in parts, at the start and when the database may have been put
 * back to an earlier state; readers meanwhile ask the database.
 */
#include <stdlib.h>

#include "catalogue_internal.h"
#include "log.h"
#include "timeutil.h"

/* Readers do not wait longer than this for a database that hangs. */
#define WAIT_MAX_MS 1000
/* An outage in which somebody may have restored the database. */
#define RESTORE_MS 3000
/* Looks per tick that moves of stock may cause beside the tick's own. */
#define MOVE_LOOKS 8

static void start_look(struct catalogue *catalogue);

/* ---- waiting ---- */

static void release(struct catalogue_waiter **list)
{
	struct catalogue_waiter *waiter = *list;

	*list = NULL;
	while (waiter) {
		struct catalogue_waiter *next = waiter->next;

		waiter->fn(waiter->arg);
		free(waiter);
		waiter = next;
	}
}

static void release_all(struct catalogue *catalogue)
{
	release(&catalogue->now);
	release(&catalogue->next);
}

uint64_t catalogue_wait(struct catalogue *catalogue, loop_fn fn, void *arg)
{
	uint64_t since = ++catalogue->clock;
	struct catalogue_waiter *waiter;

	if (catalogue->off || catalogue->stopped) {
		loop_defer(catalogue->loop, fn, arg);
		return since;
	}
	waiter = xcalloc(1, sizeof(*waiter));
	*waiter =
		(struct catalogue_waiter){.fn = fn, .arg = arg, .next = catalogue->next};
	catalogue->next = waiter;
	if (!catalogue->looking)
		start_look(catalogue);
	return since;
}

void catalogue_changed(struct catalogue *catalogue, loop_fn fn, void *arg)
{
	catalogue->changed = ++catalogue->clock;
	catalogue_wait(catalogue, fn, arg);
}

void catalogue_stock_moved(struct catalogue *catalogue)
{
	catalogue->moved = ++catalogue->clock;
}

/* ---- looking ---- */

static void turn_off(struct catalogue *catalogue)
{
	log_warn("the catalogue is larger than CATALOGUE_MAX_KIB: "
		 "reads go to the database until the next start",
		 LOG_INT("max_kib", catalogue->cfg.max_kib));
	catalogue->off = true;
	catalogue_index_free(catalogue->index);
	catalogue_index_free(catalogue->loading);
	catalogue->index = catalogue->loading = NULL;
}

static void begin_load(struct catalogue *catalogue)
{
	catalogue_index_free(catalogue->loading);
	catalogue->loading = catalogue_index_new();
	catalogue->look.after[0] = '\0';
	/* Else the numbers of a restored database would look like another restore. */
	catalogue->known = 0;
}

static bool too_large(const struct catalogue *catalogue,
		      const struct catalogue_index *index)
{
	return catalogue_index_bytes(index) > (size_t)catalogue->cfg.max_kib * 1024;
}

static void put_row(struct catalogue *catalogue, struct catalogue_index *index,
		    size_t row)
{
	struct product product = product_from_row(catalogue->look.rows, row);
	struct catalogue_entry *entry = catalogue_index_put(index, &product);

	if (!entry)
		return;
	entry->read = catalogue->look_clock;
	entry->stock_ms = catalogue->look_ms;
}

/* The copy is as of `known`, or newer in places; the looks that follow make it one
 * moment's. */
static void end_load(struct catalogue *catalogue)
{
	catalogue_index_free(catalogue->index);
	catalogue->index = catalogue->loading;
	catalogue->loading = NULL;
	catalogue->checked_ms = 0;
	log_info("catalogue loaded",
		 LOG_INT("products", (int64_t)catalogue_index_count(catalogue->index)),
		 LOG_INT("bytes", (int64_t)catalogue_index_bytes(catalogue->index)));
}

static void apply_part(struct catalogue *catalogue)
{
	struct catalogue_look *look = &catalogue->look;
	size_t n = db_rows_count(look->rows);

	if (!look->after[0])
		catalogue->known = look->version;
	for (size_t i = 0; i < n; i++)
		put_row(catalogue, catalogue->loading, i);
	if (too_large(catalogue, catalogue->loading))
		turn_off(catalogue);
	else if (n < LOOK_ROWS)
		end_load(catalogue);
	else
		str_copy(look->after, sizeof(look->after),
			 product_from_row(look->rows, n - 1).id);
}

static void apply_changes(struct catalogue *catalogue)
{
	struct catalogue_look *look = &catalogue->look;
	size_t n = look->rows ? db_rows_count(look->rows) : 0;

	for (size_t i = 0; i < n; i++) {
		if (catalogue_row_deleted(look->rows, i))
			catalogue_index_remove(catalogue->index,
					       product_from_row(look->rows, i).id);
		else
			put_row(catalogue, catalogue->index, i);
		catalogue->known = catalogue_row_changed(look->rows, i);
	}
	if (too_large(catalogue, catalogue->index)) {
		turn_off(catalogue);
		return;
	}
	if (n == LOOK_ROWS) /* there may be more */
		return;
	if (catalogue->known < look->version)
		catalogue->known = look->version;
	catalogue->checked_ms = catalogue->look_ms;
	catalogue->checked = catalogue->look_clock;
}

static void apply_stocks(struct catalogue *catalogue, const struct db_rows *rows)
{
	for (size_t i = 0; i < db_rows_count(rows); i++) {
		struct catalogue_entry *entry = catalogue_index_find(
			catalogue->index, catalogue_stock_id(rows, i));

		if (!entry)
			continue;
		catalogue_entry_set_stock(entry, catalogue_stock_of(rows, i));
		entry->read = catalogue->look_clock;
		entry->stock_ms = catalogue->look_ms;
	}
}

static void apply(struct catalogue *catalogue)
{
	struct catalogue_look *look = &catalogue->look;
	int64_t away_ms = catalogue->away_ms;

	catalogue->away_ms = 0;
	if (look->version < catalogue->known ||
	    (away_ms && time_mono_ms() - away_ms >= RESTORE_MS))
		begin_load(catalogue);
	else if (look->load)
		apply_part(catalogue);
	else
		apply_changes(catalogue);
	if (catalogue->index) {
		for (size_t i = 0; i < look->n_stocks; i++)
			apply_stocks(catalogue, look->stocks[i]);
	}
}

static bool behind(const struct catalogue *catalogue)
{
	return !catalogue->off && !catalogue->away_ms &&
	       (catalogue->loading || catalogue->known < catalogue->look.version ||
		!catalogue->checked_ms);
}

static void lost(struct catalogue *catalogue)
{
	if (!catalogue->away_ms)
		catalogue->away_ms = time_mono_ms();
}

static void look_done(const struct err *err, void *arg)
{
	struct catalogue_look *look = arg;
	struct catalogue *catalogue = look->owner;

	catalogue->looking = false;
	if (err) {
		metric_add(catalogue->failed, 1);
		lost(catalogue);
	} else {
		metric_add(catalogue->looks, 1);
		apply(catalogue);
	}
	catalogue_look_fini(look);
	release(&catalogue->now);
	if (err || catalogue->off) {
		release(&catalogue->next);
		return;
	}
	if (!catalogue->looking && (catalogue->next || behind(catalogue)))
		start_look(catalogue);
}

static void start_look(struct catalogue *catalogue)
{
	struct catalogue_look *look = &catalogue->look;

	if (catalogue->stopped || catalogue->off) {
		release_all(catalogue);
		return;
	}
	catalogue->looking = true;
	catalogue->look_ms = time_mono_ms();
	catalogue->look_clock = ++catalogue->clock;
	catalogue->now = catalogue->next;
	catalogue->next = NULL;
	catalogue->looks_begun++;
	look->load = catalogue->loading != NULL;
	look->known = catalogue->known;
	look->ids = catalogue->ids[catalogue->filling];
	look->n_ids = catalogue->n_wanted;
	catalogue->filling ^= 1;
	catalogue->n_wanted = 0;
	catalogue_repo_look(catalogue->db, look, look_done);
}

static void on_tick(void *arg)
{
	struct catalogue *catalogue = arg;

	loop_timer_start(catalogue->tick, catalogue->cfg.poll_ms);
	catalogue->move_looks = MOVE_LOOKS;
	if (!catalogue->looking) {
		start_look(catalogue);
	} else if (time_mono_ms() - catalogue->look_ms > WAIT_MAX_MS) {
		lost(catalogue);
		release_all(catalogue);
	}
}

/* ---- the whole ---- */

static void collect(void *arg)
{
	struct catalogue *catalogue = arg;
	const struct catalogue_index *index = catalogue->index;
	int64_t checked = catalogue->checked_ms;

	metric_set(catalogue->products,
		   index ? (int64_t)catalogue_index_count(index) : 0);
	metric_set(catalogue->bytes, index ? (int64_t)catalogue_index_bytes(index) : 0);
	metric_set(catalogue->age, index && checked ? time_mono_ms() - checked : 0);
}

static struct metric *reads(struct metrics *metrics, const char *labels)
{
	return metrics_counter(metrics, "shop_catalogue_reads_total",
			       "reads of products by what answered them", labels);
}

static struct metric *looks(struct metrics *metrics, const char *labels)
{
	return metrics_counter(metrics, "shop_catalogue_looks_total",
			       "looks at the database for the copy of the catalogue",
			       labels);
}

static void add_metrics(struct catalogue *catalogue, struct metrics *metrics)
{
	catalogue->hits = reads(metrics, "from=\"copy\"");
	catalogue->waits = reads(metrics, "from=\"next_look\"");
	catalogue->stale = reads(metrics, "from=\"stale_copy\"");
	catalogue->misses = reads(metrics, "from=\"database\"");
	catalogue->looks = looks(metrics, "result=\"ok\"");
	catalogue->failed = looks(metrics, "result=\"failed\"");
	catalogue->products = metrics_gauge(metrics, "shop_catalogue_products",
					    "products in the copy", NULL);
	catalogue->bytes = metrics_gauge(metrics, "shop_catalogue_bytes",
					 "memory of the copy", NULL);
	catalogue->age = metrics_gauge(metrics, "shop_catalogue_age_seconds",
				       "since the copy was last compared", NULL);
	metric_scale(catalogue->age, 1000);
	metrics_on_collect(metrics, collect, catalogue);
}

struct catalogue *catalogue_new(struct loop *loop, struct db_pool *db,
				const struct catalogue_settings *cfg,
				struct metrics *metrics)
{
	struct catalogue *catalogue = xcalloc(1, sizeof(*catalogue));

	catalogue->loop = loop;
	catalogue->db = db;
	catalogue->cfg = *cfg;
	catalogue->look.owner = catalogue;
	catalogue->off = cfg->max_kib == 0;
	catalogue->tick = loop_timer_new(loop, on_tick, catalogue);
	add_metrics(catalogue, metrics);
	if (!catalogue->off) {
		begin_load(catalogue);
		loop_timer_start(catalogue->tick, 0);
	}
	return catalogue;
}

void catalogue_stop(struct catalogue *catalogue)
{
	if (!catalogue)
		return;
	catalogue->stopped = true;
	loop_timer_stop(catalogue->tick);
}

void catalogue_free(struct catalogue *catalogue)
{
	if (!catalogue)
		return;
	loop_timer_free(catalogue->tick);
	catalogue_index_free(catalogue->index);
	catalogue_index_free(catalogue->loading);
	free(catalogue);
}
