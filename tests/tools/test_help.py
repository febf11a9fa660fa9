"""Every tool says what it is for, and does nothing else then."""

import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKER = ["images", "push", "retag", "setup"]  # the others are for these, or run inside an image
PYTHON = "bump-images docs-settings lint-migrations run-bench run-chaos run-models run-mutants run-tests".split()


def tools():
    listed = subprocess.run(["git", "ls-files", "--stage", "tools"], cwd=ROOT, check=True, capture_output=True, text=True)
    named = [line.split()[-1] for line in listed.stdout.splitlines() if line.startswith("100755")]
    return named + [f"docker/{name}" for name in DOCKER]


@pytest.mark.parametrize("tool", tools())
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(tool, option):
    asked = subprocess.run([ROOT / tool, option], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert asked.returncode == 0 and not asked.stderr, asked.stderr
    assert pathlib.Path(tool).name in asked.stdout
    assert len(asked.stdout) > 60


@pytest.mark.parametrize("tool", PYTHON)
def test_an_option_that_there_is_not(tool):
    asked = subprocess.run([ROOT / "tools" / tool, "--hepl"], capture_output=True, text=True, timeout=20)
    assert asked.returncode == 2 and "usage:" in asked.stderr, asked.stderr
