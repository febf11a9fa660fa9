"""What looks at the ends of programs that tests start notices a crash and a sanitizer's report."""

import alone
import processor_alone
import pytest

REPORTS = [
    "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
    "==1==ERROR: LeakSanitizer: detected memory leaks",
    "WARNING: ThreadSanitizer: data race (pid=1)",
    "common/money.c:7:3: runtime error: signed integer overflow",
]


def run(tmp_path, script, kind=alone.Process):
    program, process = tmp_path / "program", kind.__new__(kind)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    alone.Process.__init__(process, program, {}, tmp_path / "log", wait=False)
    return process


def run_to_end(*args):
    process = run(*args)
    process.child.wait(10)
    return process


@pytest.mark.parametrize("name", ["SEGV", "ABRT", "TERM"])
def test_only_a_kill_is_a_kill(tmp_path, name):
    with pytest.raises(AssertionError):
        run(tmp_path, f"kill -{name} $$").killed()
    with pytest.raises(AssertionError):
        run(tmp_path, "exit 0").killed()
    run(tmp_path, "kill -KILL $$").killed()


@pytest.mark.parametrize("report", REPORTS)
def test_reports_are_found(tmp_path, report):
    assert alone.complaints([run_to_end(tmp_path, f"echo '{report}'")])
    assert not alone.complaints([run_to_end(tmp_path, "echo no error")])


STUCK = """echo '{"level":"error","msg":"the engine is stuck"}'"""


@pytest.mark.parametrize(("script", "crashed"), [
    ("exit 0", False), ("exit 1", False), ("kill -KILL $$", False), (f"{STUCK}; kill -ABRT $$", False),
    ("kill -ABRT $$", True), (f"{STUCK}; echo more; kill -ABRT $$", True), ("kill -SEGV $$", True), ("exit 23", True),
])  # fmt: skip
def test_how_a_processor_may_end(tmp_path, script, crashed):
    assert run_to_end(tmp_path, script, processor_alone.Process).crashed() is crashed


@pytest.mark.parametrize("script", ["kill -SEGV $$", f"echo '{REPORTS[0]}'; exit 1"])
def test_what_went_wrong_fails_the_test_that_did_it(tmp_path, script):
    one = processor_alone.Alone.__new__(processor_alone.Alone)
    one.started, one._clean_up = [run_to_end(tmp_path, script, processor_alone.Process)], lambda: None
    with pytest.raises(AssertionError):
        one.close()
