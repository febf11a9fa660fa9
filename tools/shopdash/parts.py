"""Rows that the boards of several programs share; S selects a program's instances."""

from .panels import bad_if_any, good_from, graph, stat, steps

RATE = "[$__rate_interval]"


def rate(metric, selector=""):
    return f"rate({metric}{{{selector}}}{RATE})"


def quantiles(metric, selector, by="", shown=(0.5, 0.99)):
    """A line for each quantile (and each value of `by`)."""
    labels = f"le, {by}" if by else "le"
    legend = f"p%g {{{{{by}}}}}" if by else "p%g"
    return [
        (f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{selector}}}{RATE})))", legend % (q * 100))
        for q in shown
    ]


def select(job):
    return f'job="{job}",instance=~"$instance"'


def overview(job):
    s = select(job)
    return (
        "Instances",
        [
            stat("Instances up", f'sum(up{{job="{job}"}})', "Instances that Prometheus reaches.", thresholds=good_from(1)),
            stat("Ready", f"sum(shop_ready{{{s}}})", "Instances whose /readyz answers 200.", thresholds=good_from(1)),
            stat(
                "Restarts, last hour",
                f"sum(changes(process_start_time_seconds{{{s}}}[1h]))",
                "Processes that began anew.",
                thresholds=steps(1, 3),
            ),
            graph(
                "Versions",
                [(f"count by (version) (shop_build_info{{{s}}})", "{{version}}")],
                "Instances of each version: two during a rollout.",
                width=12,
                stack=True,
            ),
        ],
    )


def process(job):
    s = select(job)
    return (
        "Process",
        [
            graph("CPU", [(rate("process_cpu_seconds_total", s), "{{instance}}")], "Cores in use.", "none"),
            graph("Memory", [(f"process_resident_memory_bytes{{{s}}}", "{{instance}}")], "Resident memory.", "bytes"),
            graph(
                "Major page faults",
                [(rate("process_major_faults_total", s), "{{instance}}")],
                "Waits for the disk to read own pages: memory is short.",
                "ops",
            ),
            graph("Open files", [(f"process_open_fds{{{s}}}", "{{instance}}")], "Descriptors in use."),
        ],
    )


def http(job):
    s = select(job)
    return (
        "HTTP",
        [
            graph(
                "Requests by route",
                [(f"sum by (route) ({rate('shop_http_requests_total', s)})", "{{route}}")],
                "Answered requests.",
                "reqps",
                stack=True,
            ),
            graph(
                "Answers by code",
                [(f"sum by (code) ({rate('shop_http_requests_total', s)})", "{{code}}")],
                "Status codes.",
                "reqps",
                stack=True,
            ),
            graph("Time to answer", quantiles("shop_http_request_seconds", s), "All routes.", "s"),
            graph("p99 by route", quantiles("shop_http_request_seconds", s, "route", (0.99,)), "The slow ones.", "s"),
            graph(
                "Tokens",
                [(f"sum by (result) ({rate('shop_auth_checks_total', s)})", "{{result}}")],
                "Authorization headers judged.",
                "ops",
            ),
        ],
    )


def calls(job):
    s = select(job)
    return (
        "Calls to other services",
        [
            graph(
                "Calls by end",
                [(f"sum by (call, result) ({rate('shop_http_client_calls_total', s)})", "{{call}} {{result}}")],
                "Through the gateway's internal listener.",
                "reqps",
                width=12,
            ),
            graph(
                "p99 by call",
                quantiles("shop_http_client_call_seconds", s, "call", (0.99,)),
                "Until the answer or the failure.",
                "s",
                width=12,
            ),
        ],
    )


def database(job):
    s = select(job)
    return (
        "Database",
        [
            stat(
                "Reached by",
                f'sum(shop_check_ok{{{s},check="database"}})',
                "Instances with a connection.",
                thresholds=good_from(1),
            ),
            stat(
                "Refused, last hour",
                f'sum(increase(shop_db_errors_total{{{s},kind="pool_busy"}}[1h]))',
                "Jobs that met a full queue or waited too long.",
                thresholds=bad_if_any(),
            ),
            graph(
                "Connections",
                [
                    (f"sum by (pool) (shop_db_pool_running{{{s}}})", "{{pool}} busy"),
                    (f"sum by (pool) (shop_db_pool_max{{{s}}})", "{{pool}} all"),
                    (f"sum by (pool) (shop_db_pool_queued{{{s}}})", "{{pool}} jobs that wait"),
                ],
                "The pools of all instances.",
            ),
            graph("Time of a job", quantiles("shop_db_query_seconds", s), "On its connection.", "s"),
            graph(
                "Errors",
                [(f"sum by (kind) ({rate('shop_db_errors_total', s)})", "{{kind}}")],
                "Conflicts and duplicates are part of the protocol.",
                "ops",
            ),
        ],
    )


def batches(job):
    s = select(job)
    return (
        "Batches",
        [
            graph(
                "Members of a batch",
                [
                    (
                        f"sum by (stage) ({rate('shop_batch_members_total', s)})"
                        f" / sum by (stage) ({rate('shop_batch_seconds_count', s)})",
                        "{{stage}}",
                    )
                ],
                "How many share a transaction.",
            ),
            graph("Time of a batch, p99", quantiles("shop_batch_seconds", s, "stage", (0.99,)), "One transaction.", "s"),
            graph(
                "Waiting and refused",
                [
                    (f"sum by (stage) (shop_batch_queued{{{s}}})", "waiting {{stage}}"),
                    (f"sum by (stage) ({rate('shop_batch_refused_total', s)})", "refused/s {{stage}}"),
                ],
                "For a lane.",
            ),
        ],
    )


def consumer(job):
    s = select(job)
    return (
        "Kafka",
        [
            graph(
                "Messages taken in",
                [(f"sum by (topic) ({rate('shop_kafka_consumed_messages_total', s)})", "{{topic}}")],
                "Handed over to the program.",
                "ops",
            ),
            graph(
                "Lag",
                [(f"sum by (topic) (shop_kafka_consumer_lag_messages{{{s}}})", "{{topic}}")],
                "Messages not yet handed over.",
                limit=10000,
            ),
            graph(
                "Trouble",
                [
                    (f"sum({rate('shop_kafka_redelivered_batches_total', s)})", "batches again"),
                    (f"sum({rate('shop_kafka_commit_failures_total', s)})", "commits failed"),
                ],
                "Batches refused by us, offsets refused by the broker.",
                "ops",
            ),
        ],
    )
