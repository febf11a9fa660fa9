"""The tables: what was measured beside what, and the goals."""

from itertools import zip_longest

from . import report_processor
from .parts import CONNECTIONS, RATES, WORKERS, best
from .probe import GIVE_UP_S
from .processor import ENGINE
from .tables import MISSING, check_table, number, over, ratio, table, under

HOP_NOTE = (
    "One order at a time: an order makes four round trips (client – gateway – order-svc, and order-svc – gateway –"
    " product-svc), a hop makes two: a GET that the gateway does not answer itself but passes to user-svc, which has"
    " the answer ready. So two hops are taken off.\n\n"
)

LATENCY_NOTE = (
    "p50 and p99 are of what the column behind them says. wrk times all answers: refusals are quick, so where there are"
    " any, its p50 and p99 say little of orders; it counts from when it sent. orderload times accepted orders only,"
    " from when they were due, vegeta too, but from when it sent. The rate is of good answers in all.\n\n"
)
# Name of the runs -> tool.
HALF = {"ours half": "orderload", "ours half vegeta": "vegeta"}


class Figures:
    """The medians by name, and what is computed from them."""

    def __init__(self, ctx):
        self.ctx, self.of = ctx, ctx.median

    def peer(self, what):
        """The better one of gunicorn's two worker classes."""
        return max(filter(None, (self.of(f"python {what} {worker}") for worker in WORKERS)), default=None)

    def bare(self, mode, load, connections):
        return self.of(f"bare {mode} {load} {connections}")

    def ours(self, load):
        return best(self.ctx, load)[1]

    def slow(self, load):
        return max(filter(None, (self.of(f"slow ours {load} {c}") for c in CONNECTIONS)), default=None)


def quotient(value, other):
    return value / other if value and other else None


def goals(f):
    many, plain = f.ours("many"), f.bare("plain", "many", 8)
    batched, hop = f.bare("batched", "many", 2), f.of("ours hop", "p50_ms")
    one, two = f.of("ours many 1", "p50_ms"), f.of("bare plain many 1", "p50_ms")
    extra = one - two - 2 * hop if None not in (one, two, hop) else None
    peak, good = f.of("ours capacity"), f.of("ours overload")
    product, users = quotient(f.of("ours product"), f.peer("product")), quotient(f.of("ours users"), f.peer("users"))
    slow = quotient(f.slow("hot product"), f.of("slow bare plain hot product 8"))
    memory = f.ctx.memory.get("all")
    rows = []

    def row(what, goal, seen, reached):
        if MISSING not in (seen, reached):
            rows.append((what, goal, seen, reached))

    row("orders/s, many users and products", "≥ 2 × bare plain, 8 connections", ratio(many, plain),
        over(quotient(many, plain), 2))  # fmt: skip
    row("", "≥ 12 × the Python stack", ratio(many, f.peer("orders")), over(quotient(many, f.peer("orders")), 12))
    row("", "stretch: ≥ 0.35 × bare batched", ratio(many, batched, 2), over(quotient(many, batched), 0.35))
    for load, goal in (("hot product", 0.8), ("hot user", 0.5)):
        row(load, f"≥ {goal} × many", ratio(f.ours(load), many, 2), over(quotient(f.ours(load), many), goal))
    row("hot product; binlog, sync_binlog=1, 2 ms slower fsync", "≥ 10 × bare plain", number(slow, 1) + " ×", over(slow, 10))
    row("one order at a time", "≤ 1 ms above two bare transactions and the hops", f"{number(extra, 2)} ms", under(extra, 1))
    row("open loop at half of its maximum, p50", "≤ 10 ms", f"{number(f.of('ours half', 'p50_ms'), 1)} ms",
        under(f.of("ours half", "p50_ms"), 10))  # fmt: skip
    row("open loop at half of its maximum, p99", "≤ 40 ms", f"{number(f.of('ours half', 'p99_ms'), 1)} ms",
        under(f.of("ours half", "p99_ms"), 40))  # fmt: skip
    for rate, share, most in ((100, 50, 60), (100, 99, 150), (2000, 99, 250)):
        row(f"order → analytics at {rate:,}/s, p{share}", f"≤ {most} ms", *visible_seen(f, rate, f"p{share}_ms", most))
    row("GET a product", "≥ 60 × the Python stack", number(product, 1) + " ×", over(product, 60))
    row("GET users", "≥ 20 × the Python stack", number(users, 1) + " ×", over(users, 20))
    row("goodput at 3 × capacity", "≥ 0.8 × the peak", ratio(good, peak, 2), over(quotient(good, peak), 0.8))
    row("resident memory of the seven programs", "≤ 200 MB", f"{number(memory)} MB", under(memory, 200))
    rows += rest_goal(f)
    note = HOP_NOTE if extra is not None else ""
    return table("Goals", ("what", "goal", "seen", "reached"), rows) + note


def runs(f):
    """Every name with its medians, in the order in which they were first run."""
    rows = []
    for name, several in f.ctx.runs.items():
        if name == "start ms" or name.startswith(ENGINE):
            continue
        rates = [run["per_s"] for run in several]
        rows.append((
            name, number(f.of(name)), f"{number(min(rates))}–{number(max(rates))}", number(f.of(name, "p50_ms"), 1),
            number(f.of(name, "p99_ms"), 1), several[0]["latency_of"], number(f.of(name, "refused")),
            number(f.of(name, "broken")),
            number(f.of(name, "busy")), number(f.of(name, "steal")),
            f"{number(f.of(name, 'load'), 1)} → {number(f.of(name, 'load_end'), 1)}",
        ))  # fmt: skip
    head = ("run", "a second", "min–max", "p50 ms", "p99 ms", "of", "refused", "broken", "busy %", "steal %", "load average")
    return table(f"All runs, medians of {f.ctx.rounds}", head, rows) + (LATENCY_NOTE if rows else "")


def overload(f):
    rows = []
    for run in f.ctx.runs.get("ours overload", []):
        rows.append((
            number(run["due_per_s"]), number(run["per_s"]), number(run["p50_ms"], 1), number(run["p99_ms"], 1),
            number(run["refused"] / (3 * f.ctx.seconds)), number(run["refused_p50_ms"], 1),
            number(run["refused_p99_ms"], 1), number(run["late_ms"], 1),
            f"{run['memory_before_mb']:.0f} → {run['memory_after_mb']:.0f}",
        ))  # fmt: skip
    head = ("due/s", "accepted/s", "p50 ms", "p99 ms", "refused/s", "p50 ms", "p99 ms", "late ms", "memory MB")
    text = table("Overload, each round", head, rows)
    recovery = [
        (number(run["due_per_s"]), " ".join(str(second[1]) for second in run["by_second"][:5]), number(run["p99_ms"], 1),
         number(run["late_ms"], 1))
        for run in f.ctx.runs.get("ours recovery", [])
    ]  # fmt: skip
    return text + table("Right after it", ("due/s", "accepted in second 1 2 3 4 5", "p99 ms", "late ms"), recovery)


def half(f):
    """Both tools side by side, round by round."""
    rows = []
    for pair in zip_longest(*(f.ctx.runs.get(name, []) for name in HALF)):
        for tool, run in zip(HALF.values(), pair):
            if run is not None:
                rows.append((
                    tool, number(run["due_per_s"]), number(run["per_s"]), number(run["p50_ms"], 1), number(run["p99_ms"], 1),
                    number(run["p999_ms"], 1), number(run["refused"]), number(run["broken"]), number(run["late_ms"], 1),
                    number(run["tool_us"]),
                ))  # fmt: skip
    head = ("tool", "due/s", "accepted/s", "p50 ms", "p99 ms", "p99.9 ms", "refused", "broken", "late ms", "CPU µs an order")
    return table("Open loop at half, each round, by two tools", head, rows)


def visible_seen(f, rate, key, most):
    """(seen, reached): an order that never showed has no time, so with one of them no bound is kept."""
    name = f"ours visible {rate}"
    lost = sum(run["probes_lost"] for run in f.ctx.runs.get(name, []))
    value = f.of(name, key)
    if not lost:
        return f"{number(value, 1)} ms", under(value, most)
    return f"{number(value, 1)} ms, {lost} lost", "no"


def visible(f):
    """Every round: it is what tells how far a p99 can be trusted."""
    rows = []
    for rate in RATES:
        for run in f.ctx.runs.get(f"ours visible {rate}", []):
            rows.append((
                number(rate), number(run["per_s"]), run["samples"], run["probes_lost"], run["probes_refused"],
                number(run["p50_ms"], 1), number(run["p99_ms"], 1), number(run["placing_p50_ms"], 1),
                number(run["placing_p99_ms"], 1), number(run["late_ms"], 1),
            ))  # fmt: skip
    head = ("orders/s", "placed/s", "samples", "lost", "refused", "p50 ms", "p99 ms", "placing, p50 ms", "p99 ms", "late ms")
    return table(f"Order → analytics, each round; lost: not seen within {GIVE_UP_S} s", head, rows)


def rest_goal(f):
    """The row of part `minute`: the longest of all rounds, and a lag that stayed in one of them misses the goal."""
    runs = f.ctx.runs.get("ours minute", [])
    if not runs:
        return []
    rests = [seconds for run in runs for seconds in run["rest_s"].values()]
    seconds = runs[0]["seconds"]
    after = "a minute" if seconds == 60 else f"{seconds} s"
    seen, reached = ("never", "no") if None in rests else (f"{max(rests):.1f} s", under(max(rests), 10))
    return [(f"after {after} at full load, all lags but the mail's are zero", "≤ 10 s", seen, reached)]


def longest(seconds):
    return "never" if None in seconds else f"{max(seconds):.1f}"


def lags(f):
    rows = []
    for name, several in f.ctx.runs.items():
        rests = [run["rest_s"] for run in several if "rest_s" in run]
        if rests:
            rows.append((name, *(longest([rest[key] for rest in rests]) for key in rests[0])))
    head = ("after", "outbox s", "reservations s", "analytics s", "notifications stored s")
    return table("Until the lags were gone, the longest", head, rows)


def memory(f):
    rows = [(name, number(mb, 1)) for name, mb in f.ctx.memory.items()]
    text = table("Most resident memory during all this", ("program", "MB"), rows)
    starts = f.ctx.runs.get("start ms", [{}])[0]
    return text + table("Start to ready, median of 5", ("program", "ms"), [(k, number(v)) for k, v in starts.items()])


def checks(f):
    ours = [one for one in f.ctx.checks if not one["part"].startswith(ENGINE)]
    return check_table("Invariants after each round of a part", ours)


def shop(ctx):
    """The tables of the shop; empty when none of its parts was run."""
    f = Figures(ctx)
    if not any(name for name in ctx.runs if not name.startswith(ENGINE)):
        return ""
    server = ", ".join(f"`{option}`" for option in ctx.dump()["server"])
    head = f"MariaDB, durable (`innodb_flush_log_at_trx_commit=1`), for everybody: {server}.\n\n"
    return head + goals(f) + runs(f) + half(f) + visible(f) + overload(f) + lags(f) + memory(f) + checks(f)


def sections(ctx, minutes):
    """Name of a section -> its tables, of those whose parts were run."""
    head = f"{ctx.machine}; {ctx.seconds} s a run, rounds: {ctx.rounds}, {minutes:.0f} minutes in all.\n\n"
    found = {"shop": shop(ctx), "processor": report_processor.text(ctx)}
    return {name: head + tables for name, tables in found.items() if tables}


def text(ctx, minutes):
    return "".join(f"# Benchmark: {name}\n\n{tables}" for name, tables in sections(ctx, minutes).items())


# ---- docs/BENCHMARKS.md ----


def into(document, found):
    """The document with these sections between their marks, one level of headings deeper."""
    for name, tables in found.items():
        begin_mark, end_mark = f"<!-- begin {name}: written by tools/run-bench --docs -->\n", f"<!-- end {name} -->"
        before, begin, rest = document.partition(begin_mark)
        _, end, after = rest.partition(end_mark)
        if not begin or not end:
            raise ValueError(f"the marks {begin_mark.strip()} and {end_mark} are missing")
        document = f"{before}{begin}\n" + tables.replace("## ", "### ") + f"{end}{after}"
    return document
