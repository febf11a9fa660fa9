"""The parts of the benchmark: what is run, in which turn, under which names the results are kept."""

import pathlib
import subprocess
import sys
import tempfile
import time

from . import machine, orderload, probe, processor, vegeta, wrk
from .peer import Peer
from .shop import LOADS, PRODUCTS, USERS

HERE = pathlib.Path(__file__).resolve().parents[1]
CONNECTIONS = (8, 32, 128, 384)
HOT_CONNECTIONS = (128, 384)
WORKERS = ("sync", "gthread")
PEER_CONNECTIONS = 32
RATES = (100, 2000)  # orders a second while the probes ask
MOST_TIMES = 10  # when hardly any sample comes
# Passes the gateway to a service, which has its answer ready: two round trips and no work.  Not a product: the
# gateway answers those from memory, so nothing goes further than to it.
HOP = "/.well-known/jwks.json"


def closed(ctx, load, connections, seconds=None):
    """Orders through our gateway, wrk, as many as the connections carry."""
    of = ctx.shop
    run = lambda: wrk.orders(of.gateway, connections, seconds or ctx.seconds, *of.buyers(load))  # noqa: E731
    return ctx.ours(f"ours {load} {connections}", run)


def bare(ctx, mode, load, connections):
    users, products = LOADS[load]
    run = lambda: ctx.bare.run(mode, connections, ctx.seconds, users, products)  # noqa: E731
    return ctx.measure(f"bare {mode} {load} {connections}", run)


def best(ctx, load, key="per_s"):
    """Our median at the number of connections where it is best: (connections, value)."""
    seen = {c: ctx.median(f"ours {load} {c}", "per_s") for c in CONNECTIONS}
    seen = {c: rate for c, rate in seen.items() if rate}
    if not seen:
        return None, None
    c = max(seen, key=seen.get)
    return c, ctx.median(f"ours {load} {c}", key)


# ---- orders a second ----


def peer_round(ctx, orders=True, reads=True):
    for worker in WORKERS:
        with Peer(ctx.shop.json, ctx.bare, ctx.shop.dir / "log", worker) as peer:
            peer_runs(ctx, peer, worker, orders, reads)


def peer_runs(ctx, peer, worker, orders, reads):
    wrk.orders(peer.url, PEER_CONNECTIONS, 2, 1, USERS, PRODUCTS, plain=True)  # its workers connect at first use
    if orders:
        run = lambda: wrk.orders(peer.url, PEER_CONNECTIONS, ctx.seconds, 1, USERS, PRODUCTS, plain=True)  # noqa: E731
        ctx.measure(f"python orders {worker}", run)["resident_mb"] = round(peer.resident_mb(), 1)
    if not reads:
        return
    for name, path in (("product", "/api/products/%d"), ("users", "/api/users?limit=20")):
        run = lambda path=path: wrk.gets(peer.url, PEER_CONNECTIONS, ctx.seconds, path, PRODUCTS)  # noqa: E731
        ctx.measure(f"python {name} {worker}", run)


def orders_many(ctx):
    steps = [lambda: bare(ctx, "plain", "many", 8), lambda: bare(ctx, "batched", "many", 2)]
    steps += [lambda c=c: closed(ctx, "many", c) for c in CONNECTIONS]
    steps += [lambda: peer_round(ctx, reads=False)]
    ctx.in_turn(steps, check="many")


def orders_hot(ctx):
    steps = []
    for load in ("hot product", "hot user"):
        steps += [lambda load=load: bare(ctx, "plain", load, 8), lambda load=load: bare(ctx, "batched", load, 2)]
        steps += [lambda load=load, c=c: closed(ctx, load, c) for c in HOT_CONNECTIONS]
    ctx.in_turn(steps, check="hot")


def minute(ctx):
    """A minute at full load; how long the lags take to go then is in its `rest_s`."""
    seconds = 5 * ctx.seconds if ctx.quick else 60
    connections = CONNECTIONS[-1]
    run = lambda: {**wrk.orders(ctx.shop.gateway, connections, seconds, *ctx.shop.buyers("many")), "seconds": seconds}  # noqa: E731
    ctx.in_turn([lambda: ctx.ours("ours minute", run)], check="minute")


# ---- one at a time ----


def single(ctx):
    """One order at a time, against the two bare transactions and what the way there costs."""
    hop = lambda: wrk.gets(ctx.shop.gateway, 1, ctx.seconds, HOP)  # noqa: E731
    ctx.in_turn([
        lambda: bare(ctx, "plain", "many", 1),
        lambda: closed(ctx, "many", 1),
        lambda: ctx.ours("ours hop", hop, rest=False),
    ], check="single")  # fmt: skip


# ---- open loop ----


def capacity(ctx):
    """Orders a second in a closed loop, by the same generator as the open loop."""
    of = ctx.shop
    run = lambda: orderload.run(ctx.programs, of.gateway, of.buyers("many"), 0, ctx.seconds, 384)  # noqa: E731
    return ctx.ours("ours capacity", run)["per_s"]


def last_capacity(ctx):
    """Of this round, or when it goes backwards, of the one before."""
    return ctx.runs["ours capacity"][-1]["per_s"]


def open_half(ctx):
    """The same rate by our generator and by vegeta: two tools that agree are believed more easily than one."""
    of, seconds, connections = ctx.shop, 2 * ctx.seconds, 512
    buyers = of.buyers("many")
    rate = lambda: round(last_capacity(ctx) / 2)  # noqa: E731
    own = lambda: orderload.run(ctx.programs, of.gateway, buyers, rate(), seconds, connections)  # noqa: E731

    def other():
        with tempfile.TemporaryDirectory(prefix="shop-bench-") as folder:
            load = vegeta.Load(ctx.vegeta, folder, of.gateway, buyers, rate(), seconds, connections)
            ctx.ours("ours half vegeta", load.run)

    steps = [lambda: capacity(ctx), lambda: ctx.ours("ours half", own)]
    if ctx.vegeta.exists():
        steps.append(other)
    else:
        ctx.say(f"{ctx.vegeta} is missing, so no second tool; run tools/install bench")
    ctx.in_turn(steps, check="half")


def visible_for(ctx, probes, rate, seconds):
    """Probes beside a background of orders; what orderload says of that."""
    of = ctx.shop
    first, last, products = of.buyers("many")
    buyers = (first, last - len(probes), products)  # the probes' users get no other orders
    line = orderload.command(ctx.programs, of.gateway, buyers, rate, seconds, 512, warm=2)
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as background:
        time.sleep(2.5)
        probe.run(probes, seconds)
        out, _ = background.communicate()
    return orderload.figures(out)


def visible_at(ctx, rate):
    """Again and again until there are enough samples for a p99; the probes' own orders are part of the rate."""
    last, seconds = ctx.shop.buyers("many")[1], 3 * ctx.seconds
    probes = probe.probes(ctx.shop.gateway, range(last - probe.THREADS + 1, last + 1))
    loads = []
    while not loads or len(loads) < MOST_TIMES and probe.figures(probes)["samples"] < ctx.samples:
        loads.append(visible_for(ctx, probes, rate - probe.RATE, seconds))
    result = probe.figures(probes)
    placed = result["samples"] + result["probes_lost"]
    return {
        **result, "per_s": (sum(load["per_s"] for load in loads) + placed / seconds) / len(loads),
        "refused": sum(load["refused"] for load in loads), "broken": sum(load["broken"] for load in loads),
        "late_ms": max(load["late_ms"] for load in loads), "latency_of": "order → analytics",
    }  # fmt: skip


def visible(ctx):
    """Order -> analytics at 100 and at 2,000 orders a second."""
    steps = [lambda rate=rate: ctx.ours(f"ours visible {rate}", lambda: visible_at(ctx, rate)) for rate in RATES]
    ctx.in_turn(steps, check="visible")


def overload(ctx):
    """Three times what it can do, then at once half of it."""
    of = ctx.shop

    def load(rate, seconds, connections, warm):
        return orderload.run(ctx.programs, of.gateway, of.buyers("many"), round(rate), seconds, connections, warm)

    def memory():
        return round(sum(machine.sample(of.pids()).values()), 1)

    def too_much():
        most, before = last_capacity(ctx), memory()
        result = ctx.ours("ours overload", lambda: load(3 * most, 3 * ctx.seconds, 2048, 2), rest=False)
        result.update(memory_before_mb=before, memory_after_mb=memory())
        ctx.ours("ours recovery", lambda: load(most / 2, ctx.seconds, 512, 0))

    ctx.in_turn([lambda: capacity(ctx), too_much], check="overload")


# ---- reads ----


def reads(ctx):
    def ours(name, path):
        run = lambda: wrk.gets(ctx.shop.gateway, PEER_CONNECTIONS, ctx.seconds, path, PRODUCTS)  # noqa: E731
        ctx.ours(f"ours {name}", run, rest=False)

    ctx.in_turn([
        lambda: ours("product", "/api/products/BENCH-%04d"),
        lambda: peer_round(ctx, orders=False),
        lambda: ours("users", "/api/users?limit=20"),
    ])  # fmt: skip


# ---- slow storage ----


def binlog(ctx):
    of, seconds = ctx.slow_shop, ctx.seconds
    steps = []
    for load in ("hot product", "many"):
        users, products = LOADS[load]
        plain = lambda users=users, products=products: ctx.slow_bare.run("plain", 8, seconds, users, products)  # noqa: E731
        steps.append(lambda load=load, run=plain: ctx.measure(f"slow bare plain {load} 8", run))
        for c in HOT_CONNECTIONS:
            run = lambda c=c, load=load: wrk.orders(of.gateway, c, seconds, *of.buyers(load))  # noqa: E731
            steps.append(lambda c=c, load=load, run=run: ctx.ours(f"slow ours {load} {c}", run, of))
    ctx.in_turn(steps, check="binlog", of=of)


# ---- starting ----


def start(ctx):
    """Start to ready of each program; restarts all of them, so it comes last."""
    line = [sys.executable, str(HERE / "start_times.py"), str(ctx.shop.dir / "stack.json")]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    ctx.runs["start ms"] = [{name: float(ms) for name, ms in rows}]
    ctx.shop.refresh()


# Name -> (what it runs, one line of help).
PARTS = {
    "many": (orders_many, "orders/s, many users and products, beside ordbench and the Python stack"),
    "hot": (orders_hot, "orders/s on one product and of one user, beside ordbench"),
    "single": (single, "one order at a time, beside the two bare transactions"),
    "half": (open_half, "open loop at half of the own maximum, by orderload and by vegeta"),
    "visible": (visible, "order to analytics at 100 and at 2,000 orders/s"),
    "overload": (overload, "three times capacity, then recovery"),
    "reads": (reads, "GET of a product and of users, beside the Python stack"),
    "minute": (minute, "a minute at full load, and until all lags but the mail's are gone"),
    "binlog": (binlog, "hot product with binlog, sync_binlog=1 and 2 ms slower fsync"),
    "processor": (processor.run, "our processor beside Kafka Streams"),
    "start": (start, "start to ready of each program"),
}
