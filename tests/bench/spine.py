#!/usr/bin/python3
"""The spine's figures on a running stack: order -> analytics latency, orders a second, memory, start times.

  tests/bench/spine.py STACK_JSON [--seconds 20] [--rate 100]

Prints a Markdown table. Nothing here passes or fails: figures belong to the machine they were taken on.
"""

import argparse
import http.client
import json
import os
import pathlib
import secrets
import statistics
import subprocess
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
PRODUCT = "LAPTOP001"
BUYERS = 30
POLL_S = 0.005
# A broker's first minute is several times slower.
WARM_S = 60
PROGRAMS = ("gateway", "user-svc", "product-svc", "order-svc", "notify-svc", "analytics-svc", "processor")


class Client:
    """One kept connection to the gateway."""

    def __init__(self, base):
        self.conn = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=10)

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        self.conn.request(method, path, json.dumps(body) if body else None, headers)
        answer = self.conn.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


def visible_after(client, user, known):
    """Places one order and returns (accepted -> visible ms, placing ms)."""
    begin = time.monotonic()
    status, answer = client.call("POST", "/api/orders", {"user_id": user, "product_id": PRODUCT, "quantity": 1})
    accepted = time.monotonic()
    if status != 201:
        raise RuntimeError(f"order refused: {status} {answer}")
    while time.monotonic() - accepted < 10:
        if client.call("GET", f"/api/analytics/users/{user}")[1]["total_orders"] > known:
            return (time.monotonic() - accepted) * 1000, (accepted - begin) * 1000
        time.sleep(POLL_S)
    raise RuntimeError("not visible after 10 s")


def buyer(base, user, interval, until, out):
    client = Client(base)
    known = client.call("GET", f"/api/analytics/users/{user}")[1]["total_orders"]
    due = time.monotonic() + interval * (user % BUYERS) / BUYERS
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        out.append(visible_after(client, user, known))
        known += 1
        due = max(due + interval, time.monotonic())


def latency(base, users, rate, seconds):
    samples, until = [], time.monotonic() + seconds
    threads = [threading.Thread(target=buyer, args=(base, user, len(users) / rate, until, samples)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return samples


def new_users(client, count):
    """Accounts of this run; each buyer waits for its own order, so many are needed for a rate."""
    run = secrets.token_hex(4)
    users = []
    for n in range(count):
        account = {"name": f"Buyer {n}", "email": f"bench-{run}-{n}@example.com", "password": secrets.token_hex(8)}
        users.append(client.call("POST", "/api/auth/register", account)[1]["user"]["user_id"])
    return users


def percentile(values, p):
    return statistics.quantiles(values, n=100, method="inclusive")[p - 1]


def throughput(base, products, users, connections, seconds):
    out = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "-s",
            HERE / "orders.lua",
            base,
            "--",
            ",".join(products),
            str(users),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return json.loads(out.strip().splitlines()[-1])


def resident_mb(stack, program):
    """Of all its instances."""
    total = 0
    for one in stack["services"][program]:
        status = pathlib.Path(f"/proc/{one['pid']}/status").read_text(encoding="ascii")
        total += int(status.partition("VmRSS:")[2].split()[0])
    return total / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rate", type=int, default=100, help="orders a second of the latency run")
    args = parser.parse_args()
    stack = json.loads(pathlib.Path(args.stack).read_text(encoding="utf-8"))
    base = stack["gateway"]
    memory = {name: resident_mb(stack, name) for name in PROGRAMS}
    client = Client(base)
    users = new_users(client, BUYERS)
    products = [one["product_id"] for one in client.call("GET", "/api/products?limit=100")[1]["products"]]
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n\n| what | figure |\n|---|---|")
    for name, mb in memory.items():
        print(f"| resident memory before, {name} | {mb:.1f} MB |")
    print(f"| resident memory before, all programs | {sum(memory.values()):.1f} MB |", flush=True)
    latency(base, users, args.rate, WARM_S)
    samples = latency(base, users, args.rate, args.seconds)
    visible, placing = zip(*samples)
    print(
        f"| accepted → visible in analytics, {len(samples) / args.seconds:.0f} orders/s | "
        f"p50 {percentile(visible, 50):.0f} ms, p99 {percentile(visible, 99):.0f} ms |"
    )
    print(f"| placing an order, same run | p50 {percentile(placing, 50):.1f} ms, p99 {percentile(placing, 99):.1f} ms |")
    for connections in (1, 8, 32):
        run = throughput(base, products, len(users), connections, max(5, args.seconds // 2))
        print(
            f"| orders/s through the gateway, {connections} connections | {run['requests'] / run['seconds']:.0f} "
            f"(p50 {run['p50_ms']} ms, p99 {run['p99_ms']} ms, {run['errors']} errors) |",
            flush=True,
        )
    print(f"| resident memory after, all programs | {sum(resident_mb(stack, name) for name in PROGRAMS):.1f} MB |")


if __name__ == "__main__":
    main()
