"""tools/tested-commit on a small history, with a gh that knows which commits passed; a run is numbered by its line there."""

import os
import pathlib
import subprocess

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools/tested-commit"
DIGESTS = "k8s/overlays/eks/images/kustomization.yaml"
WHO = {"NAME": "Builder", "EMAIL": "builder@example.invalid"}
GH = """#!/bin/bash
case "$*" in *"--branch main"*"--status success"*) ;; *) exit 9 ;; esac
while [ $# -gt 0 ]; do [ "$1" = --commit ] && commit=$2; shift; done
grep -n "^$commit$" "$PASSED" | cut -d : -f 1
"""


class Tree:
    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "bin/gh").write_text(GH, encoding="utf-8")
        (folder / "bin/gh").chmod(0o755)
        self.passed = folder / "passed"
        self.passed.touch()
        self.env = {
            **os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "PASSED": str(self.passed),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()},
        }  # fmt: skip
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *args):
        done = subprocess.run(["git", *args], cwd=self.folder, env=self.env, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, *files, passed=False):
        for name in files:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} {path.exists() and path.stat().st_size}", encoding="utf-8")
            self.git("add", name)
        self.git("commit", "--quiet", "--message", " ".join(files))
        commit = self.git("rev-parse", "HEAD")
        if passed:
            self.passed.write_text(f"{self.passed.read_text()}{commit}\n", encoding="utf-8")
        return commit

    def ask(self, commit):
        return subprocess.run([TOOL, commit], cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_commit_that_passed(tree):
    tree.commit("one")
    tree.commit("two", passed=True)
    commit = tree.commit("three", passed=True)
    assert tree.ask(commit).stdout == f"commit={commit}\nrun=2\n"


def test_a_commit_without_a_run_of_its_own(tree):
    middle = tree.commit("one")
    tree.commit("two", passed=True)
    done = tree.ask(middle)
    assert done.returncode == 1 and done.stdout == "" and middle in done.stderr


def test_the_commit_of_digests_stands_for_the_one_before(tree):
    tested = tree.commit("one", passed=True)
    tree.commit(DIGESTS)
    assert tree.ask(tree.commit(DIGESTS)).stdout == f"commit={tested}\nrun=1\n"
    assert tree.ask(tree.commit(DIGESTS, "two")).returncode == 1


def test_tags_are_looked_through(tree):
    commit = tree.commit("one", passed=True)
    tree.git("tag", "--annotate", "--message", "1", "v1.0.0")
    assert tree.ask("v1.0.0").stdout == f"commit={commit}\nrun=1\n"
    assert "no commit" in tree.ask("v2.0.0").stderr
