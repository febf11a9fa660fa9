"""docker/push: the commands that it would run, and, with stand-ins for docker and aws, those that it runs."""

import hashlib
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
SHIPPED = "gateway user-svc product-svc order-svc notify-svc analytics-svc processor frontend".split()

FAKE_DOCKER = """#!/bin/sh
echo "docker $*" >>"$CALLS"
case "$1 $2" in
login*) read -r password; [ "$password" = "the password" ] ;;
"image inspect") echo "${5%:*}@sha256:$(printf '%s' "$5" | sha256sum | cut -c1-64)" ;;
push*) [ "$REFUSE" != "$3" ] ;;
esac
"""
FAKE_AWS = r"""#!/bin/sh
echo "aws $*" >>"$CALLS"
case "$*" in
*get-login-password*) echo "the password" ;;
*describe-repositories*shop/gateway*) exit 0 ;;
*describe-repositories*) exit 254 ;;
*batch-get-image*shop/$THERE\ *) echo "sha256:$(printf there | sha256sum | cut -c1-64)" ;;
*batch-get-image*) echo "${ANSWER:-ImageNotFound}" ;;
esac
"""


@pytest.fixture
def push(tmp_path):
    """push(*arguments, REFUSE=…) -> (result, the calls of docker and aws)."""
    tools, calls = tmp_path / "bin", tmp_path / "calls"
    tools.mkdir()
    for name, text in (("docker", FAKE_DOCKER), ("aws", FAKE_AWS)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)

    def call(*args, **env):
        calls.write_text("")
        answers = {"REFUSE": "", "THERE": "-", **env}
        env = {"PATH": f"{tools}:/usr/bin:/bin", "CALLS": str(calls), "CONTAINER_ENGINE": "docker", **answers}
        done = subprocess.run([ROOT / "docker" / "push", *args], env=env, capture_output=True, text=True, check=False)
        return done, calls.read_text().splitlines()

    return call


def test_dry_run_does_nothing(push):
    done, calls = push("--registry", REGISTRY, "--tag", "abc", "--dry-run", "--create")
    assert done.returncode == 0, done.stderr
    assert calls == []
    said = done.stdout.splitlines()
    assert said[0] == (
        f"aws ecr get-login-password --region eu-central-1 | docker login --username AWS --password-stdin {REGISTRY}"
    )
    for name in SHIPPED:
        assert f"docker tag docker.io/shop/{name}:dev {REGISTRY}/shop/{name}:abc" in said
        assert f"docker push {REGISTRY}/shop/{name}:abc" in said
        assert any(f"create-repository --region eu-central-1 --repository-name shop/{name} " in line for line in said)


def test_pushes_what_a_dry_run_says(push, tmp_path):
    dry, _ = push("--registry", REGISTRY, "--tag", "abc", "--dry-run")
    done, calls = push("--registry", REGISTRY, "--tag", "abc", "--digests", tmp_path / "digests")
    assert done.returncode == 0, done.stderr
    wanted = [line.replace("docker push", "docker push -q") for line in dry.stdout.splitlines()[1:]]
    assert [call for call in calls if call.startswith(("docker tag", "docker push"))] == wanted
    # The password is in no argument.
    assert not [call for call in calls if "the password" in call]
    lines = [line.split() for line in (tmp_path / "digests").read_text().splitlines()]
    assert [name for name, _ in lines] == SHIPPED
    assert all(digest.startswith("sha256:") and len(digest) == 71 for _, digest in lines)


def test_only_missing_repositories_are_made(push):
    done, calls = push("--registry", REGISTRY, "--create", "gateway", "order-svc")
    assert done.returncode == 0, done.stderr
    made = [call for call in calls if "create-repository" in call]
    assert len(made) == 1 and "shop/order-svc" in made[0] and "IMMUTABLE" in made[0]


def test_a_refused_push_ends_it(push):
    done, calls = push("--registry", REGISTRY, "--tag", "abc", REFUSE=f"{REGISTRY}/shop/user-svc:abc")
    assert done.returncode != 0
    assert not [call for call in calls if "shop/product-svc" in call]


def test_a_second_try_leaves_what_the_first_pushed(push, tmp_path):
    args = ["--registry", REGISTRY, "--tag", "abc", "--digests", tmp_path / "digests", "--again"]
    done, calls = push(*args, THERE="user-svc")
    assert done.returncode == 0, done.stderr
    pushed = [call.split("/")[-1] for call in calls if call.startswith("docker push")]
    assert pushed == [f"{name}:abc" for name in SHIPPED if name != "user-svc"]
    assert "user-svc:abc is there already" in done.stderr
    digests = dict(line.split() for line in (tmp_path / "digests").read_text().splitlines())
    assert list(digests) == SHIPPED and digests["user-svc"] == "sha256:" + hashlib.sha256(b"there").hexdigest()


def test_a_second_try_that_learns_nothing_pushes_nothing(push):
    done, calls = push("--registry", REGISTRY, "--tag", "abc", "--again", ANSWER="None")
    assert done.returncode != 0 and "does not tell" in done.stderr
    assert not [call for call in calls if call.startswith("docker push")]


@pytest.mark.parametrize(
    "registry", ["", "docker.io", "123.dkr.ecr.eu-west-1.amazonaws.com", "evil.example/x.dkr.ecr.a.amazonaws.com"]
)
def test_only_ecr(push, registry):
    done, calls = push("--registry", registry)
    assert done.returncode != 0 and calls == []
