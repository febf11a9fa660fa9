"""tools/release-notes on a small history."""

import os
import pathlib
import subprocess

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools/release-notes"
WHO = {"NAME": "Builder", "EMAIL": "builder@example.invalid"}
ENV = {
    **os.environ,
    **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()},
    "GIT_CONFIG_GLOBAL": os.devnull,
}


@pytest.fixture
def tree(tmp_path):
    def git(*args):
        subprocess.run(["git", *args], cwd=tmp_path, env=ENV, check=True, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    for step in ["order-svc: one", "v1.0.0", "gateway: two", "deploy: images of abc", "order-svc: three", "v1.1.0"]:
        if step.startswith("v"):
            git("tag", "--annotate", "--message", f"{step}\n\nWhy this release.", step)
        else:
            git("commit", "--quiet", "--allow-empty", "--message", step)
    (tmp_path / "digests").write_text(f"gateway sha256:{'a' * 64}\n", encoding="utf-8")
    return tmp_path


def notes(tree, tag):
    command = [TOOL, tag, "registry.example", "digests"]
    return subprocess.run(command, cwd=tree, env=ENV, capture_output=True, text=True, check=False)


def test_since_the_tag_before_without_deploy_commits(tree):
    text = notes(tree, "v1.1.0").stdout
    assert text.startswith("v1.1.0\n\nWhy this release.\n")
    assert "## Changes since v1.0.0\n\n- gateway: two\n- order-svc: three\n\n" in text
    assert "deploy:" not in text and "order-svc: one" not in text
    assert f"| `registry.example/shop/gateway` | `sha256:{'a' * 64}` |" in text


def test_the_first_release_has_everything(tree):
    assert "## Changes\n\n- order-svc: one\n\n" in notes(tree, "v1.0.0").stdout


def test_a_tag_that_is_not_there_is_an_error(tree):
    done = notes(tree, "v9.9.9")
    assert done.returncode == 1 and "no tag v9.9.9" in done.stderr
