"""The gateway: who comes, what is answered, by whom."""

from . import parts
from .panels import bad_if_any, board, graph, stat, steps
from .parts import quantiles, rate, select
from .programs import instances

JOB = "gateway"
S = select(JOB)
PUBLIC = f'{S},listener="public"'
INTERNAL = f'{S},listener="internal"'
ERRORS = f'{S},code="5xx"'
PUBLIC_ERRORS = f'{PUBLIC},code="5xx"'


def _traffic():
    requests = "shop_gateway_requests_total"
    return (
        "Traffic",
        [
            stat("Requests", f"sum({rate(requests, PUBLIC)})", "From customers.", "reqps"),
            stat(
                "Server errors",
                f"sum({rate(requests, PUBLIC_ERRORS)}) / sum({rate(requests, PUBLIC)})",
                "Share of 5xx.",
                "percentunit",
                steps(0.001, 0.01),
                decimals=2,
            ),
            stat(
                "p99",
                quantiles("shop_gateway_request_seconds", PUBLIC, shown=(0.99,))[0][0],
                "From the head to the end of the answer.",
                "s",
                steps(0.25, 1),
            ),
            stat(
                "Overloaded, last hour",
                f"sum(increase(shop_gateway_overloaded_total{{{S}}}[1h]))",
                "Refused at once because too many waited.",
                thresholds=steps(1, 1000),
            ),
            stat(
                "No endpoint, last hour",
                f"sum(increase(shop_gateway_no_endpoint_total{{{S}}}[1h]))",
                "A whole service was away.",
                thresholds=bad_if_any(),
            ),
            stat(
                "Connections refused, last hour",
                f"sum(increase(shop_gateway_refused_total{{{S}}}[1h]))",
                "Above MAX_CLIENTS.",
                thresholds=bad_if_any(),
            ),
            stat(
                "Connections ended for room, last hour",
                f"sum(increase(shop_gateway_shed_total{{{S}}}[1h]))",
                "BUFFER_KIB was full.",
                thresholds=bad_if_any(),
            ),
            graph(
                "Answers by class",
                [(f"sum by (code) ({rate(requests, PUBLIC)})", "{{code}}")],
                "Of the public listener.",
                "reqps",
                stack=True,
            ),
            graph(
                "Requests by route",
                [(f"topk(10, sum by (route) ({rate(requests, PUBLIC)}))", "{{route}}")],
                "The ten busiest.",
                "reqps",
            ),
            graph(
                "Server errors by route",
                [(f"topk(10, sum by (route) ({rate(requests, ERRORS)}))", "{{route}}")],
                "Both listeners.",
                "reqps",
            ),
            graph(
                "Time to answer",
                quantiles("shop_gateway_request_seconds", PUBLIC, shown=(0.5, 0.9, 0.99)),
                "Public listener.",
                "s",
                limit=0.25,
            ),
            graph(
                "p99 by route",
                [(f"topk(10, {quantiles('shop_gateway_request_seconds', PUBLIC, 'route', (0.99,))[0][0]})", "{{route}}")],
                "The ten slowest.",
                "s",
            ),
            graph(
                "Calls between services",
                [(f"sum by (route) ({rate(requests, INTERNAL)})", "{{route}}")],
                "Internal listener.",
                "reqps",
            ),
        ],
    )


def _upstreams():
    return (
        "Services behind it",
        [
            graph(
                "Answers by upstream",
                [(f"sum by (upstream, code) ({rate('shop_gateway_upstream_requests_total', S)})", "{{upstream}} {{code}}")],
                "A canary is an upstream of its own.",
                "reqps",
            ),
            graph(
                "Time to the answer's head, p99",
                quantiles("shop_gateway_upstream_seconds", S, "upstream", (0.99,)),
                "By upstream.",
                "s",
            ),
            graph(
                "Addresses",
                [(f"min by (upstream) (shop_gateway_upstream_addresses{{{S}}})", "{{upstream}}")],
                "That may get requests now; what the gateway with the fewest sees.",
            ),
            graph("Waiting for a connection", [(f"shop_gateway_waiting{{{S}}}", "{{instance}}")], "Requests."),
            graph(
                "Sent again and refused",
                [
                    (f"sum({rate('shop_gateway_retries_total', S)})", "retries"),
                    (f"sum({rate('shop_gateway_overloaded_total', S)})", "overloaded"),
                    (f"sum({rate('shop_gateway_no_endpoint_total', S)})", "no endpoint"),
                ],
                "",
                "reqps",
            ),
        ],
    )


def _clients():
    return (
        "Clients and cache",
        [
            graph("Connections", [(f"shop_gateway_connections{{{S}}}", "{{instance}}")], "Of clients."),
            graph(
                "No valid HTTP",
                [(f"sum({rate('shop_gateway_bad_requests_total', S)})", "requests")],
                "Refused by the parser.",
                "reqps",
            ),
            graph(
                "Tokens",
                [(f"sum by (result) ({rate('shop_auth_checks_total', S)})", "{{result}}")],
                "Authorization headers judged.",
                "ops",
            ),
            graph(
                "Reads from the cache",
                [(f"sum by (result) ({rate('shop_gateway_cache_requests_total', S)})", "{{result}}")],
                "shared: waited for another's fetch.",
                "reqps",
                stack=True,
            ),
            graph(
                "Stored answers",
                [(f"shop_gateway_cache_bytes{{{S}}}", "{{instance}}")],
                "All threads of an instance.",
                "bytes",
            ),
            graph(
                "Forgotten",
                [
                    (f"sum({rate('shop_gateway_cache_invalidations_total', S)})", "by writes"),
                    (f"sum({rate('shop_gateway_cache_evictions_total', S)})", "to make room"),
                ],
                "Stored answers.",
                "ops",
            ),
        ],
    )


def boards():
    rows = [parts.overview(JOB), _traffic(), _upstreams(), _clients(), parts.process(JOB)]
    yield board(JOB, "Gateway", "Who comes, what is answered, by whom.", rows, [instances(JOB)])
