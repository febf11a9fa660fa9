"""wrk, the closed-loop load: as many requests as the connections can carry."""

import json
import pathlib

from . import machine

HERE = pathlib.Path(__file__).resolve().parents[1]


def run(script, base, connections, seconds, *args):
    """Rate of good answers a second, latencies and what failed."""
    line = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", HERE / script, base, "--"]
    text, _ = machine.run([*line, *args])
    out = json.loads(text.strip().splitlines()[-1])
    good = out["requests"] - out["refused"]
    return {
        "per_s": good / out["seconds"], "p50_ms": out["p50_ms"], "p99_ms": out["p99_ms"],
        "refused": out["refused"], "broken": out["broken"], "requests": out["requests"], "latency_of": "all answers",
    }  # fmt: skip


def orders(base, connections, seconds, first, last, products, plain=False):
    more = ["plain"] if plain else []
    return run("orders.lua", base, connections, seconds, first, last, products, *more)


def gets(base, connections, seconds, path, count=1):
    return run("get.lua", base, connections, seconds, path, count)
