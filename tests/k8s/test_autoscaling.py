"""More requests, more gateways; fewer requests, fewer gateways."""

import time

from shop import served, until

RATE = 500  # requests a second, each on a connection of its own, as from many people
UP_S, DOWN_S = 150, 240


def test_the_gateway_scales_up_and_down(shop, figures, loads):
    """2 -> 4 -> 6 -> ... -> 2 under requests to /api/users; none fails."""
    seen = []

    def look():
        status = shop.json("get", "hpa", "gateway")["status"]
        now = (status["currentReplicas"], status["desiredReplicas"])
        if not seen or seen[-1][1:] != now:
            seen.append((round(time.monotonic() - began), *now))
            print(shop.out("get", "hpa", "gateway", "--no-headers"))
        return now[0]

    began = time.monotonic()
    until(lambda: look() == 2, 120, "two gateways at rest")
    load = shop.load("-url", "http://gateway.shop:8080/api/users", "-rate", RATE, "-seconds", UP_S)
    loads(load)
    until(lambda: look() >= 6, UP_S, "six gateways", pause=1)
    result = load.result()
    until(lambda: look() == 2, DOWN_S, "two gateways again", pause=1)
    figures["autoscaling (s, current, desired)"] = seen
    figures["autoscaling requests"] = {key: result[key] for key in ("sent", "failed", "p50_ms", "p99_ms")}
    counts = [current for _, current, _ in seen]
    assert {2, 4, 6} <= set(counts)
    assert result["sent"] >= 1000 and served(result, "200"), result
