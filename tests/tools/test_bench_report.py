"""The report of tools/run-bench: made from figures that are made up here."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "bench"))

from shopbench import report  # noqa: E402
from shopbench.context import Context  # noqa: E402

RUN = {"per_s": 100.0, "p50_ms": 1.0, "p99_ms": 2.0, "refused": 0, "broken": 0, "steal": 0.0, "busy": 50.0}


def context(runs, seconds=8, rounds=3):
    """As after a bench that made these runs: name -> what is special in each of its rounds."""
    ctx = Context(ROOT / "build", seconds, rounds)
    ctx.runs = {name: [{**RUN, **one} for one in several] for name, several in runs.items()}
    return ctx


def rows(text, title):
    """The cells of a table, without its head."""
    found = text.partition(f"## {title}")[2].partition("\n\n")[2].partition("\n\n")[0]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in found.splitlines()[2:]]


def goal(ctx, what):
    """(goal, seen, reached) of a line of the table of goals; None when it is not there."""
    return next((row[1:] for row in rows(report.shop(ctx), "Goals") if row[0] == what), None)


# ---- one order at a time ----


def test_two_hops_are_taken_off_an_order():
    ctx = context({"bare plain many 1": [{"p50_ms": 1.2}], "ours many 1": [{"p50_ms": 2.6}], "ours hop": [{"p50_ms": 0.25}]})
    assert goal(ctx, "one order at a time")[1:] == ("0.90 ms", "yes")
    assert "four round trips" in report.shop(ctx)


def test_without_a_hop_there_is_no_line_and_no_note():
    ctx = context({"bare plain many 1": [{}], "ours many 1": [{}]})
    assert goal(ctx, "one order at a time") is None and "round trips" not in report.shop(ctx)
