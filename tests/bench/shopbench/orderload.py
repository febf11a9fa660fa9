"""orderload, the open-loop load: orders at a constant rate, whatever is answered."""

import json
import urllib.parse

from . import machine


def command(programs, base, buyers, rate, seconds, connections, warm=1):
    first, last, products = buyers
    line = [programs / "orderload", "--port", urllib.parse.urlsplit(base).port, "--users", f"{first}-{last}",
            "--products", products, "--rate", rate, "--seconds", seconds, "--warm", warm,
            "--connections", connections]  # fmt: skip
    return [str(part) for part in line]


def figures(text):
    """Its JSON, with the names that all results have."""
    out = json.loads(text)
    accepted, refused = out["accepted"], out["refused"]
    return {
        "per_s": accepted["count"] / out["seconds"], "p50_ms": accepted["p50_ms"], "p99_ms": accepted["p99_ms"],
        "p999_ms": accepted["p999_ms"], "due_per_s": out["due"] / out["seconds"], "refused": refused["count"],
        "refused_p50_ms": refused["p50_ms"], "refused_p99_ms": refused["p99_ms"],
        "broken": out["broken"] + out["dropped"] + out["unanswered"], "late_ms": out["late_max_ms"],
        "status": out["status"], "by_second": out["by_second"], "latency_of": "accepted",
    }  # fmt: skip


def run(*args, **more):
    text, cpu_s = machine.run(command(*args, **more))
    result = figures(text)
    return {**result, "tool_us": 1e6 * cpu_s / max(1, json.loads(text)["due"])}
