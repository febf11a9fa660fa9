"""One board for each program: the shared rows, and what only this one does.  The gateway's is in gateway.py."""

from . import parts
from .panels import bad_if_any, board, graph, stat, steps, variable
from .parts import quantiles, rate, select


def _by(metric, label, job):
    return [(f"sum by ({label}) ({rate(metric, select(job))})", f"{{{{{label}}}}}")]


def _user_svc(job):
    s = select(job)
    return (
        "Passwords and reads",
        [
            graph(
                "Time of a password hash", quantiles("shop_password_hash_seconds", s), "argon2id, on its own threads.", "s"
            ),
            graph(
                "Hashes that wait",
                [(f"sum(shop_password_queued{{{s}}})", "waiting")],
                "Beyond PASSWORD_MAX_QUEUE: 503.",
                limit=64,
            ),
            graph(
                "Reads of users",
                [
                    (f"sum({rate('shop_user_reads_total', s)})", "reads"),
                    (f"sum({rate('shop_user_read_queries_total', s)})", "queries"),
                ],
                "Equal reads that wait at the same time share one query.",
                "ops",
            ),
        ],
    )


def _product_svc(job):
    s = select(job)
    return (
        "Stock and catalogue",
        [
            graph(
                "Reservations by answer",
                _by("shop_reservations_total", "result", job),
                "Requests to reserve or release.",
                "ops",
            ),
            graph(
                "Order events by effect",
                _by("shop_order_events_total", "result", job),
                "lost: an order's stock was given back; must never be.",
                "ops",
            ),
            graph("Janitor", _by("shop_janitor_reservations_total", "result", job), "Overdue reservations.", "ops"),
            graph(
                "Reads by source",
                _by("shop_catalogue_reads_total", "from", job),
                "What answered the reads of products.",
                "ops",
            ),
            graph(
                "Age of the copy",
                [(f"shop_catalogue_age_seconds{{{s}}}", "{{instance}}")],
                "Since it was last compared with the database.",
                "s",
                limit=10,
            ),
            graph("The copy", [(f"max(shop_catalogue_bytes{{{s}}})", "bytes")], "Memory that it takes.", "bytes"),
        ],
    )


def _order_svc(job):
    s = select(job)
    return (
        "Orders and outbox",
        [
            stat(
                "Set aside",
                f"max(shop_outbox_set_aside{{{s}}})",
                "Events that can never be delivered.",
                thresholds=bad_if_any(),
            ),
            stat("Shards with a relay", f"sum(shop_outbox_shards{{{s}}})", "Of 8.", thresholds=steps()),
            stat(
                "Relay failures, last hour",
                f"sum(increase(shop_outbox_failures_total{{{s}}}[1h]))",
                "Batches that failed in part or whole.",
                thresholds=steps(1, 100),
            ),
            stat("Outbox", f"max(shop_outbox_depth{{{s}}})", "Events not yet in Kafka.", thresholds=steps(1000, 10000)),
            stat("Oldest event", f"max(shop_outbox_age_seconds{{{s}}})", "Its age.", "s", steps(10, 60)),
            stat(
                "Delivery failures, last hour",
                f"sum(increase(shop_kafka_delivery_failures_total{{{s}}}[1h]))",
                "Events that Kafka did not confirm in time.",
                thresholds=steps(1, 100),
            ),
            graph(
                "Orders by end",
                _by("shop_orders_total", "result", job),
                "refused: the customer's fault; undone, fenced: given up by us.",
                "ops",
            ),
            graph(
                "Events to Kafka",
                [(f"sum({rate('shop_outbox_published_total', s)})", "published")],
                "And deleted here.",
                "ops",
            ),
            graph(
                "Orders that share a call for stock",
                [
                    (
                        f"sum({rate('shop_reserve_members_total', s)}) / sum({rate('shop_reserve_calls_total', s)})",
                        "orders a call",
                    )
                ],
                "To product-svc.",
            ),
        ],
    )


def _notify_svc(job):
    s = select(job)
    return (
        "Mail",
        [
            stat("Waiting", f"max(shop_notifications_pending{{{s}}})", "Mails to be sent.", thresholds=steps(1000, 100000)),
            stat(
                "Overdue",
                f"max(shop_notifications_overdue_seconds{{{s}}})",
                "How long the next one has been due.",
                "s",
                steps(60, 300),
            ),
            stat("Given up", f"max(shop_notifications_failed{{{s}}})", "After MAIL_MAX_TRIES.", thresholds=bad_if_any()),
            stat(
                "Intake stopped", f"max(shop_notifications_full{{{s}}})", "1: events wait in Kafka.", thresholds=bad_if_any()
            ),
            graph("Tries by end", _by("shop_mails_total", "result", job), "put_off: tried again later.", "ops"),
            graph("Time of a mail", quantiles("shop_mail_seconds", s), "From claiming it to the server's OK.", "s"),
            graph(
                "Events",
                [
                    (f"sum({rate('shop_notifications_stored_total', s)})", "stored"),
                    (f"sum({rate('shop_notifications_repeated_total', s)})", "came again"),
                    (f"sum({rate('shop_events_ignored_total', s)})", "of unknown types"),
                    (f"sum({rate('shop_events_poison_total', s)})", "not understood"),
                ],
                "What became of them.",
                "ops",
            ),
        ],
    )


def _analytics_svc(job):
    s = select(job)
    return (
        "Analytics",
        [
            stat(
                "Age", f"max(shop_analytics_age_seconds{{{s}}})", "Of the data of the oldest instance.", "s", steps(10, 60)
            ),
            stat("Users in memory", f"max(shop_analytics_users{{{s}}})", "In each instance."),
            stat(
                "Broken results, last hour",
                f"sum(increase(shop_analytics_bad_results_total{{{s}}}[1h]))"
                f" + sum(increase(shop_analytics_version_regressions_total{{{s}}}[1h]))",
                "Not decoded, or of a version that goes back.",
                thresholds=bad_if_any(),
            ),
            graph("Clients of the stream", [(f"shop_stream_clients{{{s}}}", "{{instance}}")], "Server-Sent Events."),
            graph(
                "Clients turned away",
                [
                    (f"sum({rate('shop_stream_dropped_total', s)})", "too slow"),
                    (f"sum({rate('shop_stream_refused_total', s)})", "too many"),
                ],
                "Of the stream.",
                "ops",
            ),
        ],
    )


def _processor(job):
    s = select(job)
    restores = "shop_processor_restore_seconds"
    return (
        "Engine",
        [
            stat("Partitions", f"sum(shop_processor_partitions{{{s}}})", "Assigned, of 12."),
            stat(
                "Restoring",
                f"sum(shop_processor_restoring{{{s}}})",
                "Partitions whose state is not read back yet.",
                thresholds=bad_if_any(),
            ),
            stat(
                "Missing events, last day",
                f"sum(increase(shop_processor_missing_events_total{{{s}}}[1d]))",
                "Gaps that were given up.",
                thresholds=bad_if_any(),
            ),
            stat(
                "Dead letters, last day",
                f"sum(increase(shop_processor_dlq_total{{{s}}}[1d]))",
                "Sent to orders-dlq.",
                thresholds=bad_if_any(),
            ),
            stat("Users", f"sum(shop_processor_users{{{s}}})", "In memory."),
            stat("Windows", f"sum(shop_processor_windows{{{s}}})", "In memory."),
            graph("Events", _by("shop_processor_events_total", "type", job), "Taken in.", "ops"),
            graph("Lag", [(f"shop_processor_lag{{{s}}}", "{{instance}}")], "Order events not counted yet.", limit=10000),
            graph(
                "Dropped and late",
                [
                    (f"sum({rate('shop_processor_duplicates_total', s)})", "seen before"),
                    (f"sum({rate('shop_processor_late_total', s)})", "late"),
                ],
                "Duplicates come from retries of the relay.",
                "ops",
            ),
            graph(
                "Transactions",
                [
                    (f"sum({rate('shop_processor_commits_total', s)})", "committed"),
                    (f"sum({rate('shop_processor_aborts_total', s)})", "aborted"),
                ],
                "Aborted ones are done again.",
                "ops",
            ),
            graph("Time of a commit", quantiles("shop_processor_commit_seconds", s), "Write and commit.", "s"),
            graph(
                "Rebalances and restores",
                [
                    (f"sum({rate('shop_processor_rebalances_total', s)})", "rebalances"),
                    (f"sum({rate('shop_processor_restores_total', s)})", "partitions restored"),
                    (f"sum({rate('shop_processor_restarts_total', s)})", "begun again"),
                ],
                "Calm unless instances come and go.",
                "ops",
            ),
            graph(
                "Time of a restore",
                [(f"{restores}_sum{{{s}}} / {restores}_count{{{s}}}", "{{instance}}")],
                "Of an assignment, the mean since the start: they are rare.",
                "s",
            ),
        ],
    )


PROGRAMS = {
    "user-svc": (_user_svc, parts.http, parts.database),
    "product-svc": (_product_svc, parts.http, parts.database, parts.batches, parts.consumer, parts.calls),
    "order-svc": (_order_svc, parts.http, parts.database, parts.batches, parts.calls),
    "notify-svc": (_notify_svc, parts.http, parts.database, parts.consumer, parts.calls),
    "analytics-svc": (_analytics_svc, parts.http, parts.consumer),
    "processor": (_processor,),
}


def instances(job):
    return variable("instance", "Instance", f'label_values(up{{job="{job}"}}, instance)')


def boards():
    for job, rows in PROGRAMS.items():
        every = (parts.overview, *rows, parts.process)
        yield board(job, job, f"What {job} does and what it costs.", [row(job) for row in every], [instances(job)])
