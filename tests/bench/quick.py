#!/usr/bin/python3
"""Orders a second on a stack that runs already: the quick look while working on the code.

  tests/bench/quick.py STACK_JSON [--loads many,hot-product,hot-user] [--connections 8,32,128,384]
                       [--seconds 6] [--no-check]
                       [--rates 100,1000,2000]

Prints a line for each run: orders a second, latency, what failed, the CPU of each program an order; then how long
the lags took to go and whether the invariants hold (tests/invariants.py).  With --rates orders are due at constant
rates (open loop) instead of as often as the connections carry; latencies are then of accepted orders only, otherwise
of refusals too.
"""

import argparse
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent)]

import invariants  # noqa: E402
from shopbench import machine, orderload, wrk  # noqa: E402
from shopbench.shop import LOADS, Shop  # noqa: E402


def processes(shop):
    """Name -> pids, the servers too."""
    return {name: [one["pid"] for one in group] for name, group in shop.json["services"].items()}


def closed(shop, load, connections, seconds):
    run = lambda: wrk.orders(shop.gateway, connections, seconds, *shop.buyers(load))  # noqa: E731
    one_run(shop, f"{load:12} {connections:4} conns", run)


def opened(shop, load, rate, seconds):
    programs = HERE.parents[1] / "build" / "release" / "bench"
    run = lambda: orderload.run(programs, shop.gateway, shop.buyers(load), rate, seconds, 512)  # noqa: E731
    one_run(shop, f"{load:12} {rate:5} due/s", run)


def placed(shop):
    """Orders since the start of order-svc: a load's warming up is not in its own figures."""
    return sum(map(float, re.findall(r'^shop_orders_total\{result="placed"\} (\S+)', shop.metrics("order-svc"), re.M)))


def one_run(shop, name, load):
    pids = processes(shop)
    placed_before = placed(shop)
    before = {name: sum(map(machine.cpu_s, group)) for name, group in pids.items()}
    with machine.Watch() as watch:
        run = load()
    cpu = {name: sum(map(machine.cpu_s, group)) - before[name] for name, group in pids.items()}
    orders = max(1, placed(shop) - placed_before)
    shares = " ".join(f"{name.removesuffix('-svc')} {1e6 * used / orders:.0f}" for name, used in cpu.items() if used > 0.05)
    print(
        f"{name} {run['per_s']:8.0f} orders/s  p50 {run['p50_ms']:7.2f} p99 {run['p99_ms']:7.2f} ms"
        f"  refused {run['refused']} broken {run['broken']}  steal {watch.steal:.0f}% busy {watch.busy:.0f}%"
        f"  | cpu us/order: {shares}",
        flush=True,
    )


def check(shop):
    rest = invariants.wait_for_rest(shop.json, 120)
    print("lags gone after:", ", ".join(f"{k} {'never' if s is None else f'{s} s'}" for k, s in rest.items()))
    findings = invariants.check(shop.json)
    broken = [f"{f.name}: {f.detail}" for f in findings if not f.ok]
    print(f"invariants: {len(findings) - len(broken)} hold", *(f"BROKEN {line}" for line in broken), sep="\n  ")
    memory = machine.sample(shop.pids())
    print("resident MB:", json.dumps({k: round(v, 1) for k, v in memory.items()}), f"sum {sum(memory.values()):.0f}")
    return not broken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack")
    parser.add_argument("--loads", default="many,hot-product,hot-user")
    parser.add_argument("--connections", default="8,32,128,384")
    parser.add_argument("--rates", help="orders a second, instead of connections")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--no-check", action="store_true", help="no waiting for rest, no invariants")
    args = parser.parse_args()
    loads = [name.replace("-", " ") for name in args.loads.split(",")]
    for name in loads:
        if name not in LOADS:
            parser.error(f"{name} is none of {', '.join(LOADS)}")
    shop = Shop(args.stack)
    steps = args.rates or args.connections
    for load in loads:
        for step in map(int, steps.split(",")):
            (opened if args.rates else closed)(shop, load, step, args.seconds)
    sys.exit(0 if args.no_check or check(shop) else 1)


if __name__ == "__main__":
    main()
