"""A run as a page, chaos-SEED.md, and as a line of chaos-runs.csv; its faults as lines of chaos-strikes.csv."""

import collections
import csv
import functools
import pathlib
import subprocess
import time
from typing import NamedTuple

COLUMNS = ("began", "version", "seed", "brokers", "kafka", "seconds", "faults", "failpoints", "without effect", "deaths",
           "orders", "attempts", "seconds after the load", "broken", "mode", "left out")  # fmt: skip
STRIKES = ("began", "version", "seed", "fault", "action", "target", "struck")
SERVERS = ("mysql", "kafka", "mail", "net-")


class Setup(NamedTuple):
    """What a run is made on, beside its seed."""

    mode: str
    brokers: int
    kafka: str
    instances: dict
    left_out: list  # why kinds of faults are missing

    def again(self, run):
        return (f"make chaos SEED={run.seed} RUNS=1 RUN_SECONDS={run.seconds:.0f} MODE={self.mode} "
                f"BROKERS={self.brokers} KAFKA={self.kafka}")  # fmt: skip


def clock(run, at):
    return f"{at - run.began:6.1f}"


def time_line(run):
    rows = []
    for player in run.players:
        since, until = player.times()
        error = f" ({'; '.join(player.told())})" if player.errors else ""
        chosen = f" [{player.chosen()}]" if player.chosen() else ""
        rows.append((since, f"{player.fault}{chosen}{error}"))
        rows.append((until, f"healed: {player.fault.kind} {player.fault.target}, {effect(player)}"))
    rows += run.events
    return [f"| {clock(run, at)} | {text} |" for at, text in sorted(rows, key=lambda row: row[0])]


def effect(player):
    told = {None: "never made", 0: "**without effect**", 1: "struck once"}
    return told.get(player.effect, f"struck {player.effect} times")


def listed(instances):
    return ", ".join(f"{program} {count}" for program, count in instances.items())


def without_effect(run):
    """They break no run, but they tested nothing."""
    return sum(player.effect == 0 for player in run.players)


def write(folder, run, mails_open, setup):
    state = "BROKEN" if run.broken else "whole"
    without = [f"Left out: {'; '.join(setup.left_out)}.", ""] if setup.left_out else []
    lines = [
        f"# Chaos run {run.seed}: {state}", "",
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(run.began))} UTC, {run.seconds:.0f} s of load and faults. "
        f"Again, with version {version()}: `{setup.again(run)}`", "",
        f"Instances: {listed(setup.instances)}.", "",
        "Seconds: " + ", ".join(f"{name} {value}" for name, value in run.times.items()),
        *(["", "Its mails are looked at when every lease is over."] if mails_open else []), "",
        "## Invariants", "", "| | invariant | |", "|---|---|---|",
        *(f"| {'ok' if one.ok else '**BROKEN**'} | {one.name} | {one.detail} |" for one in run.findings), "",
        "## Faults", "", *without, "| s | what |", "|---|---|", *time_line(run), "",
        f"Deaths: {run.deaths or 'none'}", "",
        "## Counts", "", "| | |", "|---|---|", *(f"| {name} | {count} |" for name, count in run.counts.items()), "",
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"chaos-{run.seed}.md").write_text("\n".join(lines), encoding="utf-8")


def after_load(run):
    return round(sum(value for name, value in run.times.items() if name != "load and faults"))


@functools.cache
def version():
    """Of the code, as it was when first asked for."""
    here = pathlib.Path(__file__).parent
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def keep_earlier(path, columns):
    """A list with other columns gets another name."""
    if path.exists() and path.read_text(encoding="utf-8").partition("\n")[0] != ",".join(columns):
        until = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        path.rename(path.with_name(f"{path.stem}-until-{until}.csv"))


def add(path, columns, rows):
    keep_earlier(path, columns)
    new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as out:
        lines = csv.writer(out, lineterminator="\n")
        if new:
            lines.writerow(columns)
        lines.writerows(rows)


def row_of(run, setup):
    return (
        began(run), version(), run.seed, setup.brokers, setup.kafka, f"{run.seconds:.0f}", len(run.faults),
        sum(one.kind == "failpoint" for one in run.faults), without_effect(run), sum(run.deaths.values()),
        run.counts.get("orders placed", 0), run.counts.get("attempts", 0), after_load(run),
        "; ".join(finding.name for finding in run.broken), setup.mode, "; ".join(setup.left_out),
    )  # fmt: skip


def began(run):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.began))


def enter(folder, runs, setup):
    """Adds the runs, whose mails were looked at, to the lists of all."""
    add(folder / "chaos-runs.csv", COLUMNS, [row_of(run, setup) for run in runs])
    add(folder / "chaos-strikes.csv", STRIKES, [
        (began(run), version(), run.seed, *card(player.fault), player.fault.target, player.effect)
        for run in runs for player in run.players
    ])  # fmt: skip


def card(fault):
    """(fault, action) as the decks have them."""
    if fault.kind == "failpoint":
        return fault.detail["step"], fault.detail["action"].partition(":")[0]
    server = fault.target.partition(".")[0]
    return f"{server} {fault.kind}" if server.startswith(SERVERS) else fault.kind, ""


def strikes(runs):
    """A table: of each fault how often it was armed, how often of these it struck at all, and the strikes together."""
    table = collections.defaultdict(lambda: [0, 0, 0])
    for player in (player for run in runs for player in run.players):
        row, effect = table[player.fault.kind != "failpoint", *card(player.fault)], player.effect or 0
        row[:] = row[0] + 1, row[1] + bool(effect), row[2] + effect
    head = f"{'fault':<26} {'action':<6} {'armed':>6} {'struck':>6} {'times':>7}"
    return [head, *(f"{name:<26} {action:<6} {row[0]:>6} {row[1]:>6} {row[2]:>7}"
                    for (_, name, action), row in sorted(table.items()))]  # fmt: skip


def line(run):
    faults = ", ".join(" ".join((one.detail.get("step", one.kind), one.target)) for one in run.faults)
    took = after_load(run)
    broken = "; ".join(finding.name for finding in run.broken)
    return (f"  {'BROKEN' if broken else 'whole '} seed {run.seed}: {run.counts.get('orders placed')} orders, "
            f"{took} s after the load{': ' + broken if broken else ''} [{faults}]")  # fmt: skip
