"""A sitting of chaos runs: how many there are, and what is told of one that raises or is ended."""

import contextlib
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from chaos import faults, plan, report
from chaos.faults import DECK
from chaos.shop import INSTANCES, remove_earlier
from chaos.sitting import Run, Sitting
from chaos.watcher import AT_ANY_MOMENT
from chaos_stories import SETUP, breaks_down, names_broken, observers
from shopstack.ui import StackError
from tool import load_tool


@pytest.fixture
def bare_sitting(tmp_path, monkeypatch):
    """Without a stack: its crowd cannot be made."""
    monkeypatch.setattr("chaos.sitting.Crowd", breaks_down)
    sitting = Sitting.__new__(Sitting)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "mysql.log").write_text("why")
    stack = SimpleNamespace(dir=tmp_path)
    shop = SimpleNamespace(events=[(0, "seen")], begin_run=lambda _: None)
    sitting.shop, sitting.stack, sitting.setup = shop, stack, SETUP
    sitting.reports, sitting.runs, sitting.waiting = tmp_path / "reports", [], []
    return sitting


def test_a_run_that_raises_is_told(bare_sitting):
    run = bare_sitting.run(7, 30, [])
    assert names_broken(run.findings) == {"the run came to its end"} and not run.ended
    assert "KeyError" in (bare_sitting.reports / "chaos-7.md").read_text()
    assert (bare_sitting.reports / "chaos-7-log" / "mysql.log").read_text() == "why"
    report.enter(bare_sitting.reports, bare_sitting.runs, SETUP)
    assert "the run came to its end" in (bare_sitting.reports / "chaos-runs.csv").read_text()


def test_a_run_that_raises_tells_what_was_seen_before(bare_sitting, monkeypatch):
    """A crash, and damage, and a fault that was not made."""
    crowd, watcher = observers()
    watcher.seen, watcher.done = [(0, next(iter(AT_ANY_MOMENT)), ["row"])], threading.Event()
    crowd.stopping = threading.Event()

    def play(run, *_):
        run.crowd, run.watcher = crowd, watcher
        run.watchman = SimpleNamespace(errors=[], crashes=["order-svc.1: SIGSEGV"])
        run.players = [faults.Player(None, plan.Fault(0, "kill", "x", 0), 0, 0)]
        run.players[0].start()  # without a shop that fails
        raise AssertionError("not ready in time")

    bare_sitting.play, bare_sitting.count = play, lambda _: {}
    monkeypatch.setattr(crowd, "requests", [SimpleNamespace(what="order", order_id=1)] * 10)
    found = names_broken(bare_sitting.run(7, 30, []).findings)
    assert found == {
        "the run came to its end", "nobody crashes", next(iter(AT_ANY_MOMENT)), "every fault was made and healed",
    }  # fmt: skip
    assert crowd.stopping.is_set() and watcher.done.is_set(), "nobody goes on"


def test_a_run_that_is_ended_from_outside_is_told(bare_sitting, monkeypatch):
    def ended(*_, **__):
        sys.exit(1)

    monkeypatch.setattr("chaos.sitting.Crowd", ended)
    with pytest.raises(SystemExit):
        bare_sitting.run(7, 30, [])
    assert bare_sitting.runs[0].broken and (bare_sitting.reports / "chaos-7.md").exists()


def test_mails_that_cannot_be_looked_at_are_told(bare_sitting):
    for patient in (True, False):
        run = Run(7, 30, [])
        bare_sitting.waiting, bare_sitting.check_mails = [run], breaks_down
        bare_sitting.finish(patient)
        assert names_broken(run.findings) == {"its mails were looked at"} and not bare_sitting.waiting


@pytest.mark.parametrize("error", [SystemExit(1), KeyError("x")])
def test_runs_before_one_that_raises_are_entered(error, tmp_path, monkeypatch):
    """By tools/run-chaos, whatever ends the sitting."""
    tool = load_tool("run-chaos")
    run = Run(1, 30, [])
    done = []

    def second(seed, _):
        if seed > 1:
            raise error
        sitting.runs.append(run)
        return run

    sitting = SimpleNamespace(run=second, runs=[], finish=done.append, setup=SETUP)
    monkeypatch.setattr(tool, "started", lambda *_: contextlib.nullcontext(sitting))
    args = SimpleNamespace(seed=1, runs=3, minutes=1, seconds=30, brokers=1, kafka=None, reports=tmp_path)
    with pytest.raises(type(error)):
        list(tool.sittings(args, tmp_path))
    assert done == [False] and len((tmp_path / "chaos-runs.csv").read_text().splitlines()) == 2


@pytest.fixture
def run_chaos(tmp_path, monkeypatch):
    """tools/run-chaos with runs that take a minute and stacks that take an hour to start; gives (exit code, its seeds)."""
    tool, clock, seeds, stacks = load_tool("run-chaos"), [0], [], []

    def play(seed, _):
        clock[0] += 60
        seeds.append(seed)
        sitting.runs.append(Run(seed, 30, []))
        return sitting.runs[-1]

    def started(make, folder, args, seed):
        clock[0] += 3600
        sitting.runs = []
        stacks.append(seed)
        return contextlib.nullcontext(sitting)

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["run-chaos", "--seed=1", f"--reports={tmp_path}", *options])
        seeds.clear()
        with pytest.raises(SystemExit) as ended:
            tool.main()
        return ended.value.code, seeds[:]

    sitting = SimpleNamespace(run=play, runs=[], finish=lambda _: None, setup=SETUP)
    monkeypatch.setattr(tool, "started", started)
    monkeypatch.setattr(tool, "time", SimpleNamespace(monotonic=lambda: clock[0], time=time.time))
    monkeypatch.setattr("chaos.private.enter", lambda _: False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name in ("RUNS", "MINUTES"):
        monkeypatch.delenv(name, raising=False)
    call.tool, call.stacks = tool, stacks
    return call


def test_minutes_count_from_the_first_run(run_chaos):
    """A stack that takes longer to start than all runs together takes none of their time."""
    assert run_chaos("--minutes=2.5") == (0, [1, 2, 3])


def test_the_first_limit_counts(run_chaos):
    assert run_chaos("--runs=2", "--minutes=60") == run_chaos("--runs=2") == (0, [1, 2])
    assert run_chaos("--runs=9", "--minutes=1.5") == (0, [1, 2])
    assert run_chaos("--seed=10")[1] == list(range(10, 20)), "ten minutes"


def test_a_seed_that_is_on_another_stack_gets_a_new_one(run_chaos):
    assert run_chaos("--seed=17", "--runs=15")[1] == list(range(17, 32)) and run_chaos.stacks == [17, 20, 30]


def test_no_run_is_no_success(run_chaos, monkeypatch):
    monkeypatch.setattr(run_chaos.tool, "sittings", lambda *_: iter(()))
    assert run_chaos() == (1, [])


@pytest.mark.parametrize("error", [SystemExit(1), KeyError("x")])
def test_a_stack_that_is_ended_while_it_starts_is_taken_down(error, tmp_path):
    tool = load_tool("run-chaos")
    closed = []

    def start():
        raise error

    def make(*_, **__):
        sitting = Sitting.__new__(Sitting)
        sitting.start, sitting.close = start, lambda: closed.append(True)
        return sitting

    args = SimpleNamespace(mode="debug", reports=tmp_path, brokers=1, kafka=None)
    with pytest.raises(type(error)), tool.started(make, tmp_path, args, 1):
        pass
    assert closed == [True]


def test_only_the_folder_of_a_stack_is_removed(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StackError):
        remove_earlier(tmp_path)
    assert (tmp_path / "thesis.tex").exists()
    (tmp_path / "state.json").write_text("{}")
    remove_earlier(tmp_path)
    assert not tmp_path.exists()
    remove_earlier(tmp_path)


def test_seeded_runs_have_many_users_and_varied_haste(bare_sitting, monkeypatch):
    """A wrong result must be able to be the last of its user."""
    taken = []

    def crowd(stack, seed, **people):
        taken.append(people)
        raise StackError("enough")

    monkeypatch.setattr("chaos.sitting.Crowd", crowd)
    bare_sitting.instances, bare_sitting.kinds = INSTANCES, DECK
    for seed in range(20):
        bare_sitting.run(seed, 30)
    assert len(taken) == 20 and all(80 <= one["users"] <= 120 for one in taken)
    assert all(len({one[name] for one in taken}) > 2 for name in ("users", "buyers", "pause_s"))
    bare_sitting.run(1, 30, [])
    assert "users" not in taken[-1], "a plan of one's own names its people"
