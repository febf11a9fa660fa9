"""The report of tools/run-bench: made from figures that are made up here."""

import base64
import json
import pathlib
import socket
import sys
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "bench"))

from shopbench import machine, orderload, probe, report, vegeta, wrk  # noqa: E402
from shopbench.context import Context  # noqa: E402

RUN = {"per_s": 100.0, "p50_ms": 1.0, "p99_ms": 2.0, "refused": 0, "broken": 0, "steal": 0.0, "busy": 50.0,
       "load": 1.5, "load_end": 2.5, "latency_of": "all answers"}  # fmt: skip
OPEN = {"due_per_s": 50.0, "p999_ms": 3.0, "refused_p50_ms": 0.0, "refused_p99_ms": 0.0, "late_ms": 0.7,
        "tool_us": 20.0}  # fmt: skip


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


# ---- rounds, quick looks ----


def test_medians_of_three_rounds_but_for_a_quick_look():
    assert [Context(ROOT / "build", seconds).rounds for seconds in (3, 4, 5, 8)] == [1, 1, 3, 3]
    assert Context(ROOT / "build", 3, 2).rounds == 2


def test_every_other_round_goes_backwards():
    seen = []
    context({}).in_turn([lambda step=step: seen.append(step) for step in "abc"])
    assert "".join(seen) == "abccbaabc"


def test_invariants_are_checked_after_each_round(monkeypatch):
    seen, ctx = [], context({})
    monkeypatch.setattr(ctx, "check", lambda part, of: seen.append(part))
    ctx.in_turn([lambda: seen.append("run")] * 2, check="many")
    assert seen == ["run", "run", "many"] * 3


def test_a_line_for_all_checks_of_a_part():
    ctx = context({"ours many 8": [{}]})
    ctx.checks = [{"part": "many", "checked": 25, "broken": broken} for broken in ([], ["stock adds up: 3 4"], [])]
    assert rows(report.shop(ctx), "Invariants") == [("many", "3", "75", "stock adds up: 3 4")]


def test_the_processors_sums_stand_in_a_table_of_their_own():
    steady = {"peak_mb": 10.0, "resident_mb": 9.0, "cpu": 0.1, "broker_cpu": 0.5}
    ctx = context({f"engine {kind} steady": [steady, steady] for kind in ("ours", "streams")})
    ctx.checks = [{"part": part, "checked": 1, "broken": []} for part in ("engine ours steady", "many")] * 2
    assert rows(report.sections(ctx, 1)["processor"], "Sums of the results") == [("ours steady", "2", "2", "none")]


# ---- a minute at full load ----

LAGS = {"outbox": 0.5, "reservations": 1.0, "analytics": 2.5, "notifications": 4.0}


def minute(*several, seconds=60):
    return context({"ours minute": [{"seconds": seconds, "rest_s": {**LAGS, **one}} for one in several]})


def test_the_longest_lag_of_all_rounds_counts_after_a_minute():
    what = "after a minute at full load, all lags but the mail's are zero"
    assert goal(minute({}, {"analytics": 9.5}), what) == ("≤ 10 s", "9.5 s", "yes")
    assert goal(minute({}, {"outbox": 10.5}), what) == ("≤ 10 s", "10.5 s", "no")


def test_a_lag_that_stays_misses_the_goal():
    ctx = minute({}, {"notifications": None}, {})
    assert goal(ctx, "after a minute at full load, all lags but the mail's are zero")[1:] == ("never", "no")
    assert rows(report.shop(ctx), "Until the lags")[0] == ("ours minute", "0.5", "1.0", "2.5", "never")


def test_a_quick_look_says_how_short_its_minute_was():
    assert goal(minute({}, seconds=15), "after 15 s at full load, all lags but the mail's are zero")[2] == "yes"


# ---- what a latency is of ----


def test_the_table_of_runs_says_what_its_latencies_are_of():
    text = report.shop(context({"ours many 8": [{}], "ours half": [{**OPEN, "latency_of": "accepted"}]}))
    seen = [(row[0], row[5]) for row in rows(text, "All runs")]
    assert seen == [("ours many 8", "all answers"), ("ours half", "accepted")]
    assert "refusals are quick" in text


def test_each_tool_says_what_its_latencies_are_of(monkeypatch):
    wrk_said = {"requests": 10, "refused": 4, "seconds": 2, "p50_ms": 1, "p99_ms": 2, "broken": 0}
    monkeypatch.setattr(machine, "run", lambda *_: (json.dumps(wrk_said), 0))
    seen = wrk.run("orders.lua", "http://shop", 8, 2)
    assert (seen["per_s"], seen["latency_of"]) == (3, "all answers")
    hist = {"count": 6, "p50_ms": 1, "p99_ms": 2, "p999_ms": 3}
    said = {"accepted": hist, "refused": {**hist, "count": 4}, "seconds": 2, "due": 12, "broken": 1, "dropped": 1,
            "unanswered": 0, "late_max_ms": 0.5, "status": {}, "by_second": []}  # fmt: skip
    seen = orderload.figures(json.dumps(said))
    assert (seen["per_s"], seen["due_per_s"], seen["broken"], seen["latency_of"]) == (3, 6, 2, "accepted")


# ---- the state of the machine and of the generator ----


def test_load_average_of_each_run():
    ctx = context({"ours many 8": [{"load": 1.0}, {"load": 2.0, "load_end": 4.0}, {"load": 3.0}]})
    assert rows(report.shop(ctx), "All runs")[0][-1] == "2.0 → 2.5"


def test_a_watch_knows_the_load_average():
    with machine.Watch() as watch:
        pass
    assert watch.load >= 0 and watch.load_end >= 0


def test_the_open_loop_tables_say_how_late_the_generator_was():
    memory = {"memory_before_mb": 90, "memory_after_mb": 95}
    ctx = context({
        "ours half": [{**OPEN, "late_ms": 1.2}, {**OPEN, "late_ms": 3.4}],
        "ours overload": [{**OPEN, **memory, "late_ms": 8.1}], "ours recovery": [{**OPEN, "by_second": [[50, 50, 0]]}],
    })  # fmt: skip
    text = report.shop(ctx)
    assert [row[-2] for row in rows(text, "Open loop at half")] == ["1.2", "3.4"]
    assert rows(text, "Overload")[0][-2:] == ("8.1", "90 → 95") and rows(text, "Right after it")[0][-1] == "0.7"


# ---- order to analytics ----


class Wire:
    """A gateway whose analytics show `shown` more orders each time they are asked."""

    def __init__(self, shown, status=201):
        self.left, self.status, self.orders, self.seen = list(shown), status, 0, 7

    def order(self, user, product):
        self.orders += 1
        return self.status, b""

    def total(self, user):
        self.seen += self.left.pop(0) if self.left else 0
        return self.seen


def probed(monkeypatch, wire, orders):
    monkeypatch.setattr(probe, "GIVE_UP_S", 0.02)
    one = probe.Probe("http://shop", 1)
    one.wire, one.known = wire, wire.seen
    for _ in range(orders):
        one._place(0)
    return one, probe.figures([one])


def test_an_order_that_never_shows_is_lost_and_has_no_time(monkeypatch):
    one, seen = probed(monkeypatch, Wire([1]), 2)
    assert (seen["samples"], seen["probes_lost"], len(one.placing)) == (1, 1, 2)
    assert max(one.visible) < 20


def test_a_lost_order_that_comes_late_is_not_taken_for_the_next_one(monkeypatch):
    wire = Wire([0])
    one, _ = probed(monkeypatch, wire, 1)
    wire.left = [1, 0, 1]
    one._place(0)
    assert len(one.visible) == 1 and not wire.left


def test_a_refused_order_is_no_sample(monkeypatch):
    one, seen = probed(monkeypatch, Wire([], status=503), 3)
    assert (seen["samples"], seen["probes_lost"], seen["probes_refused"], one.known) == (0, 0, 3, 7)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n%s\r\n{\"total_orders\":7,}"


def test_a_probe_connects_again_when_the_gateway_ends_the_connection():
    """As it does after a thousand requests."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def gateway():
            for answers in ((b"", b"Connection: close\r\n"), (b"",)):
                conn, _ = server.accept()
                with conn:
                    for more in answers:
                        conn.recv(4096)
                        conn.sendall(ANSWER % more)

        thread = threading.Thread(target=gateway)
        thread.start()
        wire = probe.Wire(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert [wire.total(1) for _ in range(3)] == [7, 7, 7]
        wire.close()
        thread.join()


def test_a_probe_that_fails_is_not_silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionError):
        probe.run([probe.Probe(f"http://127.0.0.1:{port}", 1)], 1)


def probes_said(lost=0):
    return {"samples": 1010, "probes_lost": lost, "probes_refused": 0, "placing_p50_ms": 5.0, "placing_p99_ms": 9.0,
            "late_ms": 0.5, "p50_ms": 40.0, "p99_ms": 120.0}  # fmt: skip


def test_the_goal_is_missed_with_a_lost_order():
    ctx = context({"ours visible 2000": [probes_said(), probes_said(lost=2)], "ours visible 100": [probes_said()]})
    assert goal(ctx, "order → analytics at 2,000/s, p99") == ("≤ 250 ms", "120.0 ms, 2 lost", "no")
    assert goal(ctx, "order → analytics at 100/s, p99") == ("≤ 150 ms", "120.0 ms", "yes")
    assert [row[2:4] for row in rows(report.shop(ctx), "Order → analytics")] == [("1010", "0"), ("1010", "0"), ("1010", "2")]


def test_a_full_run_asks_for_a_thousand_samples():
    assert Context(ROOT / "build", 8).samples == 1000 and Context(ROOT / "build", 3).samples == 0


# ---- vegeta ----


def test_both_tools_stand_side_by_side():
    one, other = {**OPEN, "p50_ms": 5.0}, {**OPEN, "p50_ms": 6.0}
    text = report.shop(context({"ours half": [one, one], "ours half vegeta": [other, other]}))
    seen = [(row[0], row[3]) for row in rows(text, "Open loop at half")]
    assert seen == [("orderload", "5.0"), ("vegeta", "6.0")] * 2
    assert [row[0] for row in rows(report.shop(context({"ours half": [one]})), "Open loop at half")] == ["orderload"]


def test_every_target_is_an_order_with_a_key_of_its_own(tmp_path):
    vegeta.write_targets(tmp_path / "targets", "http://shop", (5, 9, 20), 50)
    targets = [json.loads(line) for line in (tmp_path / "targets").read_text().splitlines()]
    orders = [json.loads(base64.b64decode(target["body"])) for target in targets]
    assert len({target["header"]["Idempotency-Key"][0] for target in targets}) == 50
    assert {(target["method"], target["url"]) for target in targets} == {("POST", "http://shop/api/orders")}
    assert all(5 <= order["user_id"] <= 9 and "BENCH-0001" <= order["product_id"] <= "BENCH-0020" for order in orders)


def test_accepted_orders_after_the_warm_up_count():
    answers = [(100 + n / 10, 201, 5.0, n) for n in range(30)]
    answers[3] = (100.3, 201, 900.0, 3)  # while it warms up
    answers[12] = (101.25, 201, 7.0, 12)  # sent 50 ms late
    answers[14], answers[15] = (101.4, 503, 1.0, 14), (101.5, 0, 20.0, 15)
    seen = vegeta.figures(answers, 10, 2, 1)
    assert (seen["per_s"], seen["due_per_s"], seen["refused"], seen["broken"]) == (9, 10, 1, 1)
    assert vegeta.figures(answers[:-4], 10, 2, 1)["broken"] == 1 + 4
    assert seen["p50_ms"] == 5.0 and 5 < seen["p99_ms"] <= 7 and 49 < seen["late_ms"] < 51


def test_a_program_that_fails_is_no_result():
    assert machine.run(["/bin/sh", "-c", "echo 7"])[0] == "7\n"
    with pytest.raises(RuntimeError, match="sh: no such shop"):
        machine.run(["/bin/sh", "-c", "echo no such shop >&2; exit 3"])
