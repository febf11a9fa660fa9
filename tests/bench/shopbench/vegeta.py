"""vegeta, an open-loop load that is not ours: what orderload says is checked against it."""

import base64
import csv
import json
import pathlib
import random
import secrets
import subprocess

from . import machine
from .probe import percentile

TIMEOUT_S = 20


def write_targets(path, base, buyers, count):
    """An order a line, each with an Idempotency-Key of its own."""
    first, last, products = buyers
    keys = secrets.token_hex(8)
    with open(path, "w", encoding="ascii") as out:
        for n in range(count):
            user, product = random.randint(first, last), random.randint(1, products)
            order = json.dumps({"user_id": user, "product_id": f"BENCH-{product:04d}", "quantity": 1})
            target = {
                "method": "POST", "url": f"{base}/api/orders", "body": base64.b64encode(order.encode()).decode(),
                "header": {"Content-Type": ["application/json"], "Idempotency-Key": [f"{keys}-{n}"]},
            }  # fmt: skip
            out.write(json.dumps(target) + "\n")


def figures(answers, rate, seconds, warm):
    """answers: (when it was sent in seconds, status, latency in ms, number); gives the names that all results have."""
    first = min((sent - n / rate for sent, _, _, n in answers), default=0)
    counted = [answer for answer in answers if answer[3] >= warm * rate]
    accepted = [ms for _, status, ms, _ in counted if status == 201]
    unsent = rate * seconds - len(counted)  # when it is late at the end of its time, it does not make them up
    broken = unsent + sum(status == 0 for _, status, _, _ in counted)
    late = [sent - first - n / rate for sent, _, _, n in counted]
    return {
        "per_s": len(accepted) / seconds, "p50_ms": percentile(accepted, 0.5), "p99_ms": percentile(accepted, 0.99),
        "p999_ms": percentile(accepted, 0.999), "due_per_s": rate,
        "refused": rate * seconds - len(accepted) - broken, "broken": broken, "late_ms": 1000 * max(late, default=0),
        "latency_of": "accepted",
    }  # fmt: skip


def read(program, results):
    """vegeta's own file of answers, by way of its CSV."""
    line = [program, "encode", "--to", "csv", results]
    with subprocess.Popen([str(part) for part in line], stdout=subprocess.PIPE, text=True) as child:
        answers = [(int(row[0]) / 1e9, int(row[1]), int(row[2]) / 1e6, int(row[8])) for row in csv.reader(child.stdout)]
    if child.returncode:
        raise RuntimeError("vegeta encode failed")
    return answers


class Load:
    """One run at a constant rate; its targets are made here, for while it runs that would cost CPU."""

    def __init__(self, program, folder, base, buyers, rate, seconds, connections, warm=1):
        self.program, self.rate, self.seconds, self.warm = program, rate, seconds, warm
        self.results = pathlib.Path(folder) / "results"
        targets = pathlib.Path(folder) / "targets"
        write_targets(targets, base, buyers, rate * (warm + seconds))
        # Redirects and bodies: nothing that a look at an order's status needs.
        self.line = [
            program, "attack", "-format", "json", "-lazy", "-targets", targets, "-rate", f"{rate}/1s",
            "-duration", f"{warm + seconds}s", "-connections", connections, "-max-connections", connections,
            "-timeout", f"{TIMEOUT_S}s", "-redirects", "-1", "-max-body", "0", "-output", self.results,
        ]  # fmt: skip

    def run(self):
        _, cpu_s = machine.run(self.line)
        answers = read(self.program, self.results)
        return {**figures(answers, self.rate, self.seconds, self.warm), "tool_us": 1e6 * cpu_s / max(1, len(answers))}
