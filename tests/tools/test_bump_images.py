"""tools/bump-images against a bare repository and clones of it: what it writes, when it refuses, who wins a race."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/bump-images"
FILE = "k8s/overlays/eks/images/kustomization.yaml"
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
IMAGES = "gateway user-svc product-svc order-svc notify-svc analytics-svc processor frontend".split()
WHO = {"NAME": "Builder", "EMAIL": "builder@example.invalid"}
ENV = {
    **os.environ,
    **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()},
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def git(tree, *args):
    return subprocess.run(["git", *args], cwd=tree, env=ENV, check=True, capture_output=True, text=True).stdout.strip()


class Clone:
    def __init__(self, origin, tree):
        self.tree = tree
        git(origin.parent, "clone", "--quiet", str(origin), str(tree))

    def commit(self, name, text="x"):
        (self.tree / name).write_text(text, encoding="utf-8")
        git(self.tree, "add", "-A")
        git(self.tree, "commit", "--quiet", "--message", name)
        git(self.tree, "push", "--quiet", "origin", "HEAD:main")
        return git(self.tree, "rev-parse", "HEAD")

    def bump(self, revision, digests, *more, registry=REGISTRY):
        lines = digests if isinstance(digests, str) else "".join(f"{n} {d}\n" for n, d in digests.items())
        (self.tree.parent / "digests").write_text(lines, encoding="utf-8")
        command = [TOOL, "--registry", registry, "--revision", revision, *more, self.tree.parent / "digests"]
        return subprocess.run(command, cwd=self.tree, env=ENV, capture_output=True, text=True, check=False)

    def pushed(self, revision, digests, *more):
        done = self.bump(revision, digests, "--push", "main", *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def deployed(self):
        """What origin's main says now: {name: digest}."""
        git(self.tree, "fetch", "--quiet", "origin", "main")
        text = git(self.tree, "show", f"FETCH_HEAD:{FILE}")
        return dict(re.findall(r"newName: \S+/shop/(\S+)\n    digest: (\S+)", text))

    def commits(self):
        git(self.tree, "fetch", "--quiet", "origin", "main")
        return git(self.tree, "log", "--format=%s", "FETCH_HEAD").splitlines()


@pytest.fixture
def clone(tmp_path):
    origin = tmp_path / "origin.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    first = Clone(origin, tmp_path / "tree")
    (first.tree / FILE).parent.mkdir(parents=True)
    text = (ROOT / FILE).read_text(encoding="utf-8")
    text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, text)
    text = re.sub(r'revision: "[0-9a-f]{40}"', f'revision: "{"0" * 40}"', text)
    (first.tree / FILE).write_text(text, encoding="utf-8")
    first.commit("first")
    return first


def all_of(char):
    return {name: "sha256:" + char * 64 for name in IMAGES}


def test_the_commit_names_what_it_deploys_and_changes_one_file(clone):
    revision = clone.commit("work")
    assert clone.pushed(revision, all_of("a")) == "changed"
    assert clone.deployed() == all_of("a")
    assert git(clone.tree, "show", "--name-only", "--format=", "FETCH_HEAD") == FILE
    body = git(clone.tree, "log", "-1", "--format=%B", "FETCH_HEAD")
    assert body.startswith(f"deploy: images of {revision[:12]}\n")
    assert f"Source-Revision: {revision}" in body and "gateway sha256:aaaa" in body


def test_the_tree_that_it_runs_in_stays_as_it_is(clone):
    revision = clone.commit("work")
    clone.pushed(revision, all_of("a"))
    assert git(clone.tree, "status", "--porcelain") == ""
    assert git(clone.tree, "rev-parse", "HEAD") == revision
    assert len(git(clone.tree, "worktree", "list").splitlines()) == 1


def test_without_push_only_the_file_changes(clone):
    revision = clone.commit("work")
    assert clone.bump(revision, all_of("a")).stdout.strip() == "changed"
    assert git(clone.tree, "status", "--porcelain") == f"M {FILE}"
    assert clone.commits() == ["work", "first"]


def test_the_same_again_makes_no_commit(clone):
    revision = clone.commit("work")
    clone.pushed(revision, all_of("a"))
    before = clone.commits()
    assert clone.pushed(revision, all_of("a")) == "unchanged"
    assert clone.commits() == before


def test_images_that_are_not_listed_stay(clone):
    first = clone.commit("work")
    clone.pushed(first, all_of("a"))
    git(clone.tree, "pull", "--quiet", "origin", "main")
    second = clone.commit("more")
    clone.pushed(second, {"order-svc": "sha256:" + "b" * 64})
    assert clone.deployed() == all_of("a") | {"order-svc": "sha256:" + "b" * 64}


def test_a_slow_build_does_not_replace_a_newer_one(clone):
    old, new = clone.commit("old"), clone.commit("new")
    clone.pushed(new, all_of("b"))
    done = clone.bump(old, all_of("a"), "--push", "main")
    assert done.returncode == 1 and "does not come after" in done.stderr
    assert clone.deployed() == all_of("b")
    assert clone.pushed(old, all_of("a"), "--back") == "changed"


def test_a_newer_commit_with_the_same_images_is_recorded(clone):
    """Else the slow build of a commit between the two would win."""
    first, middle, last = clone.commit("one"), clone.commit("two"), clone.commit("three")
    clone.pushed(first, all_of("a"))
    clone.pushed(last, all_of("a"))
    assert clone.bump(middle, all_of("b"), "--push", "main").returncode == 1


def test_somebody_else_pushes_at_the_same_time(clone, tmp_path):
    """A hook of ours pushes first: the first push is rejected, the second is on top of theirs."""
    revision = clone.commit("work")
    other = Clone(tmp_path / "origin.git", tmp_path / "other")
    hook = clone.tree / ".git/hooks/pre-push"
    hook.write_text(
        f"#!/bin/sh\n[ -e {tmp_path}/once ] && exit 0\ntouch {tmp_path}/once\nunset GIT_DIR\ncd {other.tree} && "
        "echo y >theirs && git add theirs && git commit -qm theirs && git push -q origin HEAD:main\n",
        encoding="utf-8",
    )
    hook.chmod(0o755)
    assert clone.pushed(revision, all_of("a")) == "changed"
    assert clone.commits()[:2] == [f"deploy: images of {revision[:12]}", "theirs"]
    assert clone.deployed() == all_of("a")


def test_a_branch_that_takes_no_push_is_an_error(clone, tmp_path):
    revision = clone.commit("work")
    hook = tmp_path / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    done = clone.bump(revision, all_of("a"), "--push", "main")
    assert done.returncode == 1 and "not pushed in 5 tries" in done.stderr and "protected" in done.stderr


@pytest.mark.parametrize(
    ("digests", "why"),
    [
        ("", "no digests given"),
        ("gateway sha256:abc\n", "the digest is not right"),
        ("gateway\n", "the digest is not right"),
        (f"gateway sha256:{'A' * 64}\n", "the digest is not right"),
        (f"database sha256:{'a' * 64}\n", "no image of ours"),
        (f"gateway sha256:{'a' * 64}\ngateway sha256:{'b' * 64}\n", "there twice"),
    ],
)
def test_digests_that_are_not_right_change_nothing(clone, digests, why):
    done = clone.bump(clone.commit("work"), digests)
    assert done.returncode == 1 and why in done.stderr
    assert git(clone.tree, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("revision", "registry"), [("main", REGISTRY), ("a" * 39, REGISTRY), ("a" * 40, "localhost"), ("a" * 40, "x.y/z\nq: 1")]
)
def test_arguments_that_are_not_right_change_nothing(clone, revision, registry):
    assert clone.bump(revision, all_of("a"), registry=registry).returncode == 1
    assert git(clone.tree, "status", "--porcelain") == ""


def test_a_file_that_was_edited_by_hand_is_not_overwritten(clone):
    path = clone.tree / FILE
    path.write_text(path.read_text(encoding="utf-8") + "namePrefix: x-\n", encoding="utf-8")
    done = clone.bump(clone.commit("edited"), all_of("a"))
    assert done.returncode == 1 and "not as this tool writes it" in done.stderr


def test_a_shallow_clone_is_an_error_not_a_guess(clone, tmp_path):
    old = clone.commit("old")
    clone.pushed(old, all_of("a"))
    git(clone.tree, "pull", "--quiet", "origin", "main")
    new = clone.commit("new")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tmp_path}/origin.git", str(shallow))
    clone.tree = shallow
    done = clone.bump(new, all_of("b"), "--push", "main")
    assert done.returncode == 1 and "cannot compare" in done.stderr


def test_the_file_in_git_is_as_the_tool_writes_it(clone):
    """And lists every image, so that none can run under a moving tag."""
    (clone.tree / FILE).write_text((ROOT / FILE).read_text(encoding="utf-8"), encoding="utf-8")
    assert clone.bump("a" * 40, all_of("a"), "--back").returncode == 0
    assert sorted(clone.deployed()) == sorted(IMAGES)
