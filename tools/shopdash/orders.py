"""From the order to the analytics and the mail: the promises of the shop at a glance."""

from .panels import bad_if_any, board, good_from, graph, stat, steps
from .parts import RATE

ORDERS = 'listener="public",route="/api/orders",method="POST"'
ERRORS_30D = (
    f'sum(increase(shop_gateway_requests_total{{{ORDERS},code="5xx"}}[30d]))'
    f" / sum(increase(shop_gateway_requests_total{{{ORDERS}}}[30d]))"
)


def _objectives():
    return (
        "Objectives",
        [
            stat(
                "Orders answered, 30 days",
                f"1 - {ERRORS_30D}",
                "Without a server error; the objective is 99.9 %.",
                "percentunit",
                good_from(0.999),
                decimals=3,
            ),
            stat(
                "Error budget left",
                f"1 - ({ERRORS_30D}) / 0.001",
                "Of 0.1 % over 30 days.",
                "percentunit",
                good_from(0.1),
                decimals=1,
            ),
            stat("p99 of an order", "shop:order_seconds:p99_5m", "At the gateway.", "s", steps(0.25, 1)),
            stat("Oldest event in the outbox", "shop:outbox_age:seconds", "Not yet in Kafka.", "s", steps(10, 60)),
            stat("Age of the analytics", "shop:analytics_age:seconds", "Of the oldest instance.", "s", steps(10, 60)),
            stat(
                "Alerts firing",
                'count(ALERTS{alertstate="firing",severity=~"page|ticket"}) or vector(0)',
                "Pages and tickets.",
                thresholds=bad_if_any(),
            ),
            graph(
                "Burn of the error budget",
                [
                    ("shop:order_errors:ratio_rate1h / 0.001", "1 hour"),
                    ("shop:order_errors:ratio_rate6h / 0.001", "6 hours"),
                ],
                "1 spends exactly the budget of 30 days.",
                limit=6,
            ),
            graph(
                "Burn of the latency budget",
                [("shop:order_slow:ratio_rate1h / 0.01", "1 hour"), ("shop:order_slow:ratio_rate6h / 0.01", "6 hours")],
                "1 % may take longer than 250 ms.",
                limit=6,
            ),
            graph(
                "Orders by end",
                [("result:shop_orders:rate5m", "{{result}}")],
                "refused: the customer's fault; undone, fenced: given up by us.",
                "ops",
                stack=True,
            ),
        ],
    )


def _pipeline():
    return (
        "Pipeline",
        [
            graph(
                "Events on their way",
                [
                    (f'sum(rate(shop_orders_total{{result=~"placed|cancelled"}}{RATE}))', "1 committed"),
                    (f"sum(rate(shop_outbox_published_total{RATE}))", "2 published"),
                    (f'sum(rate(shop_kafka_consumed_messages_total{{job="product-svc"}}{RATE}))', "3 confirmed"),
                    (f"sum(rate(shop_processor_events_total{RATE}))", "3 counted"),
                    (f"sum(rate(shop_notifications_stored_total{RATE}))", "3 mails written"),
                    (f'sum(rate(shop_mails_total{{result="sent"}}{RATE}))', "4 mails sent"),
                ],
                "All lines together: nothing is held up.",
                "ops",
                width=12,
            ),
            graph(
                "Behind, in seconds",
                [("job:shop_consumer_lag:seconds", "{{job}}")],
                "Time to catch up at the present pace.",
                "s",
                width=12,
                limit=60,
            ),
            graph(
                "Outbox",
                [("max(shop_outbox_depth)", "events"), ("sum(shop_outbox_shards)", "shards with a relay")],
                "Events not yet in Kafka.",
            ),
            graph("Lag in messages", [("job:shop_consumer_lag:messages", "{{job}}")], "Not yet taken in."),
            graph(
                "Mails",
                [("max(shop_notifications_pending)", "waiting"), ("max(shop_notifications_failed)", "given up")],
                "All instances.",
            ),
        ],
    )


def _integrity():
    last_day = "sum(increase(%s[1d]))"
    return (
        "Nothing lost, nothing twice",
        [
            stat(
                "Missing events, last day",
                last_day % "shop_processor_missing_events_total",
                "Gaps in the sequences of users.",
                thresholds=bad_if_any(),
            ),
            stat(
                "Dead letters, last day",
                last_day % "shop_processor_dlq_total",
                "Events that could not be counted.",
                thresholds=bad_if_any(),
            ),
            stat(
                "Reservations lost, last day",
                last_day % 'shop_order_events_total{result="lost"}',
                "Must never be.",
                thresholds=bad_if_any(),
            ),
            stat("Set aside", "max(shop_outbox_set_aside)", "Events that Kafka never takes.", thresholds=bad_if_any()),
            stat(
                "Duplicates dropped, last day",
                last_day % "shop_processor_duplicates_total",
                "From retries of the relay; harmless.",
            ),
            stat(
                "Orders replayed, last day",
                last_day % 'shop_orders_total{result="replayed"}',
                "Retries of clients with their key; harmless.",
            ),
        ],
    )


def boards():
    rows = [_objectives(), _pipeline(), _integrity()]
    yield board("orders", "Orders and pipeline", "From the order to the analytics and the mail.", rows)
