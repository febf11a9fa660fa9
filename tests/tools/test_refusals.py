"""Wrong words are refused at once, by the name of what is wrong: a run that tests nothing is no success."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def refusal(*line, **env):
    done = subprocess.run(line, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("setting, told", [
    ("SEED=x", "--seed"), ("RUNS=x", "--runs"), ("RUNS=-1", "limit"), ("MINUTES=x", "--minutes"),
    ("RUN_SECONDS=x", "--seconds"), ("RUN_SECONDS=0", "0 seconds"), ("BROKERS=2", "1 or 3 brokers"),
    ("MODE=release", "failpoints"),
])  # fmt: skip
def test_chaos(setting, told):
    name, value = setting.split("=")
    assert told in refusal("tools/run-chaos", **{name: value})


def test_a_mutant_without_a_plan_under_chaos():
    name = "product-batch-sells-twice"
    assert name in refusal("tools/run-mutants", "--chaos", name)
