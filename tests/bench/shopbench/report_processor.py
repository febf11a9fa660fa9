"""The processor beside Kafka Streams: its goals and its table.  Ratios are the median of the pairs' ratios."""

import statistics

from .processor import ENGINE, MANY_USERS, NAME, RATE
from .tables import MISSING, check_table, number, over, table, under

CATCH_UP, MANY, RESTART, KILLED, STEADY = "catch-up", "many users", "restart", "restart after kill -9", "steady"


class Pairs:
    """What was measured of both engines, run by run."""

    def __init__(self, ctx):
        self.ctx = ctx

    def of(self, kind, name, key):
        return self.ctx.median(NAME.format(kind, name), key)

    def ours(self, name, key):
        return self.of("ours", name, key)

    def ratio(self, name, key, turned=False, ours="ours"):
        """Ours to theirs; turned: theirs to ours."""
        ours, theirs = (self.ctx.runs.get(NAME.format(kind, name), []) for kind in (ours, "streams"))
        ratios = [a[key] / b[key] for a, b in zip(ours, theirs) if a[key] and b[key]]
        ratios = [1 / ratio for ratio in ratios] if turned else ratios
        return statistics.median(ratios) if ratios else None


def times(ratio, digits=1):
    return MISSING if ratio is None else f"{number(ratio, digits)} ×"


def goals(ctx):
    """Rows of the table of goals; MISSING in those that were not measured."""
    p = Pairs(ctx)
    rows = []

    def more(what, goal, ratio, least):
        rows.append((what, f"≥ {least} × Kafka Streams{goal}", times(ratio), over(ratio, least)))

    def less(what, goal, ratio, most):
        rows.append((what, f"≤ {goal} Kafka Streams'", times(ratio, 2), under(ratio, most)))

    def most(what, value, unit, bound):
        rows.append((what, f"≤ {bound} {unit}", f"{number(value, 1)} {unit}", under(value, bound)))

    more("processor, catching up", " per CPU-second", p.ratio(CATCH_UP, "per_cpu_s"), 12)
    more("", " by the clock", p.ratio(CATCH_UP, "per_s"), 8)
    most("processor's memory, catching up", p.ours(CATCH_UP, "peak_mb"), "MB", 96)
    most(f"at {RATE:,} events/s", p.ours(STEADY, "peak_mb"), "MB", 16)
    most(f"with {MANY_USERS:,} users", p.ours(MANY, "peak_mb"), "MB", 128)
    less(f"processor's restart, {MANY_USERS:,} users", "1/5 of", p.ratio(RESTART, "seconds"), 0.2)
    less("after kill -9", "1/5 of", p.ratio(KILLED, "seconds"), 0.2)
    less(f"event to result at {RATE:,}/s, p99, each at its own interval", "1/3 of", p.ratio(STEADY, "p99_ms"), 1 / 3)
    most("", p.ours(STEADY, "p99_ms"), "ms", 150)
    in_step = p.ratio(STEADY, "broker_cpu", ours="ours in step")
    less(f"broker's CPU at {RATE:,} events/s, same commit interval", "1 ×", in_step, 1)
    return [row for row in rows if row[3] != MISSING]


ROWS = (
    (CATCH_UP, "events/s, from the process's start", "per_s", 1, 0),
    (CATCH_UP, "events per CPU-second", "per_cpu_s", 1, 0),
    (CATCH_UP, "broker's CPU, s", "broker_cpu_s", 1, 1),
    (CATCH_UP, "most memory, MB", "peak_mb", 1, 0),
    (MANY, "until all are counted, s", "seconds", 1, 1),
    (MANY, "most memory, MB", "peak_mb", 1, 0),
    (RESTART, "until all is counted, s", "seconds", 1, 2),
    (RESTART, "CPU, s", "cpu_s", 1, 2),
    (KILLED, "until all is counted, s", "seconds", 1, 2),
    (KILLED, "CPU, s", "cpu_s", 1, 2),
    (STEADY, "event to result, p50 ms", "p50_ms", 1, 1),
    (STEADY, "event to result, p99 ms", "p99_ms", 1, 1),
    (STEADY, "memory, MB", "resident_mb", 1, 1),
    (STEADY, "CPU, % of a core", "cpu", 100, 1),
    (STEADY, "broker's CPU, % of a core", "broker_cpu", 100, 1),
)


def text(ctx):
    p = Pairs(ctx)
    rows = []
    for name, what, key, scale, digits in ROWS:
        ours, theirs = p.ours(name, key), p.of("streams", name, key)
        if ours is not None and theirs is not None:
            seen = (number(value * scale, digits) for value in (ours, theirs))
            rows.append((name, what, *seen, times(p.ratio(name, key), 3)))
    pairs = len(ctx.runs.get(NAME.format("ours", CATCH_UP), []))
    alone = p.of("none", STEADY, "broker_cpu")
    in_step = p.of("ours in step", STEADY, "broker_cpu")
    late = " and ".join(number(p.of("ours in step", STEADY, key), 1) for key in ("p50_ms", "p99_ms"))
    head = (f"Processor and Kafka Streams, medians of {pairs}", ("", "", "ours", "Kafka Streams", "ratio"))
    alone, in_step = (number(cpu and 100 * cpu, 1) for cpu in (alone, in_step))
    note = (
        f"Making {RATE:,} events a second alone costs the broker {alone} % of a core; with our processor at the commit"
        f" interval of Kafka Streams (100 ms, ours is 15) {in_step} %, and the results come after {late} ms (p50, p99)."
        "\n\n"
    )
    found = goals(ctx)
    if not found:
        return ""
    checks = [{**one, "part": one["part"].removeprefix(ENGINE)} for one in ctx.checks if one["part"].startswith(ENGINE)]
    return (
        table("Goals of the processor", ("what", "goal", "seen", "reached"), found) + table(*head, rows) + note
        + check_table("Sums of the results after each run", checks)
    )  # fmt: skip
