"""tools/deployed-sboms and tools/tested-files, with a gh that has one run with its artifacts."""

import os
import pathlib
import shutil
import subprocess

import pytest
from tool import load_tool

ROOT = pathlib.Path(__file__).resolve().parents[2]
WHO = {"NAME": "Builder", "EMAIL": "builder@example.invalid"}
GH = """#!/bin/bash
case "$1 $2" in
"run list") [[ " $* " = *" --commit $COMMIT "* ]] && echo 41 || true ;;
"run download")
	[ "$3 $4 $6" = "41 --name --dir" ] && [ -d "$ARTIFACTS/$5" ] || { echo "no valid artifacts found" >&2; exit 1; }
	mkdir -p "$7" && cp "$ARTIFACTS/$5"/* "$7" ;;
*) exit 9 ;;
esac
"""


bump = load_tool("bump-images")
DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(bump.NAMES, 1)}


class Place:
    def __init__(self, folder):
        self.folder, self.artifacts, self.found = folder, folder / "artifacts", folder / "found"
        (folder / "bin").mkdir()
        (folder / "bin/gh").write_text(GH, encoding="utf-8")
        (folder / "bin/gh").chmod(0o755)
        self.env = {
            **os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "ARTIFACTS": str(self.artifacts),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in WHO.items()},
        }  # fmt: skip
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("commit", "--quiet", "--allow-empty", "--message", "tested")
        self.commit = self.env["COMMIT"] = self.git("rev-parse", "HEAD")
        for name, files in {
            "digests": {"digests": "".join(f"{name} {digest}\n" for name, digest in DIGESTS.items())},
            "sboms": {f"{name}.spdx.json": "{}" for name in DIGESTS},
        }.items():
            (self.artifacts / name).mkdir(parents=True)
            for file, text in files.items():
                (self.artifacts / name / file).write_text(text, encoding="utf-8")

    def git(self, *args):
        done = subprocess.run(["git", *args], cwd=self.folder, env=self.env, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def deploy(self, text):
        file = self.folder / bump.FILE
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")

    def deploy_digests(self, digests):
        self.deploy(bump.render(self.commit, {name: ("registry.example", digest) for name, digest in digests.items()}))

    def run(self, name, *args):
        command = [ROOT / "tools" / name, *args]
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)

    def ask(self):
        return self.run("deployed-sboms", self.found)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_the_sboms_of_what_runs(place):
    place.deploy_digests(DIGESTS)
    done = place.ask()
    assert (done.returncode, done.stdout) == (0, "run=41\n"), done.stderr
    assert {path.name for path in place.found.glob("*.spdx.json")} == {f"{name}.spdx.json" for name in DIGESTS}


def test_nothing_is_deployed_as_long_as_the_file_has_no_images(place):
    nothing = {name: ("registry.example", f"sha256:{'0' * 64}") for name in DIGESTS}
    place.deploy(bump.render(bump.NO_REVISION, nothing))
    done = place.ask()
    assert (done.returncode, done.stdout) == (0, "run=\n") and "nothing is deployed" in done.stderr
    assert not place.found.exists()


def test_the_file_of_this_tree_can_be_read(place):
    place.deploy((ROOT / bump.FILE).read_text(encoding="utf-8"))
    assert "is not as tools/bump-images writes it" not in place.ask().stderr


def test_another_file_is_not_taken_for_nothing_deployed(place):
    place.deploy("images: []\n")
    done = place.ask()
    assert done.returncode == 1 and done.stdout == "" and "is not as tools/bump-images writes it" in done.stderr


def test_a_digest_that_the_run_did_not_push(place):
    place.deploy_digests({**DIGESTS, "order-svc": f"sha256:{'f' * 64}"})
    done = place.ask()
    assert done.returncode == 1 and done.stdout == ""
    assert f"-order-svc sha256:{'f' * 64}" in done.stderr and f"+order-svc {DIGESTS['order-svc']}" in done.stderr
    assert "tools/bump-images with the digests of one run" in done.stderr


def test_a_commit_without_a_run(place):
    place.deploy_digests(DIGESTS)
    place.env["COMMIT"] = "0" * 40
    done = place.ask()
    assert done.returncode == 1 and done.stdout == "" and place.commit in done.stderr


@pytest.mark.parametrize("name", ["digests", "sboms"])
def test_what_is_no_longer_kept(place, name):
    shutil.rmtree(place.artifacts / name)
    place.deploy_digests(DIGESTS)
    done = place.ask()
    assert done.returncode == 1 and done.stdout == ""
    assert f"the run 41 has no {name}" in done.stderr and "build a newer commit" in done.stderr


def test_an_image_without_an_sbom(place):
    (place.artifacts / "sboms/frontend.spdx.json").unlink()
    place.deploy_digests(DIGESTS)
    done = place.ask()
    assert done.returncode == 1 and "no SBOM of frontend" in done.stderr


def test_the_files_of_a_run(place):
    done = place.run("tested-files", "41", place.found)
    assert done.returncode == 0, done.stderr
    assert len(list(place.found.iterdir())) == len(DIGESTS) + 1
    assert place.run("tested-files", "42", place.found).returncode == 1
