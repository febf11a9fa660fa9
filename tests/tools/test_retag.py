"""docker/retag with a stand-in for aws that keeps images in a file, with tags that stay what they are."""

import hashlib
import json
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
SHIPPED = "gateway user-svc product-svc order-svc notify-svc analytics-svc processor frontend".split()
TYPE = "application/vnd.docker.distribution.manifest.v2+json"

# The file has {repository: {"images": {digest: manifest}, "tags": {tag: digest}}}.  What the CLI does with --query is
# done here for the two that are asked.
FAKE_AWS = f"""#!/usr/bin/python3
import hashlib, json, os, pathlib, sys

with open(os.environ["CALLS"], "a") as calls:
    print(*sys.argv[1:3], *sys.argv[-8:], file=calls)
options = dict(zip(sys.argv[3::2], sys.argv[4::2])) if sys.argv[2] == "put-image" else {{
    name: sys.argv[sys.argv.index(name) + 1]
    for name in ("--region", "--registry-id", "--repository-name", "--image-ids", "--query", "--output")
}}
assert options["--region"] == "eu-central-1" and options["--registry-id"] == "123456789012"
assert options["--output"] == "text"
file = pathlib.Path(os.environ["ECR"])
ecr = json.loads(file.read_text())
repository = ecr.get(options["--repository-name"])
if repository is None or os.environ["REFUSE"] == sys.argv[2]:
    sys.exit("An error occurred (RepositoryNotFoundException)")
if sys.argv[2] == "batch-get-image":
    assert "{TYPE}" in sys.argv
    kind, _, wanted = options["--image-ids"].partition("=")
    digest = wanted if kind == "imageDigest" else repository["tags"].get(wanted)
    print({{
        "images[0].imageId.imageDigest || failures[0].failureCode": digest or "ImageNotFound",
        "images[0].[imageManifestMediaType, imageManifest]":
            "{TYPE}\\t" + repository["images"].get(digest, "None"),
    }}[options["--query"]])
else:
    tag, digest, at = (options[f"--image-{{name}}"] for name in ("tag", "digest", "manifest"))
    manifest = pathlib.Path(at.removeprefix("file://")).read_bytes()
    assert options["--image-manifest-media-type"] == "{TYPE}"
    if digest != "sha256:" + hashlib.sha256(manifest).hexdigest():
        sys.exit("An error occurred (ImageDigestDoesNotMatchException)")
    race = os.environ["RACE"]
    if race:
        repository["tags"][tag] = race if race.startswith("sha256:") else digest
        file.write_text(json.dumps(ecr))
    if tag in repository["tags"]:
        sys.exit("An error occurred (%s)" % (
            "ImageAlreadyExistsException" if repository["tags"][tag] == digest else "ImageTagAlreadyExistsException"))
    repository["tags"][tag] = digest
    file.write_text(json.dumps(ecr))
    print(digest)
"""


def manifest(name, what="tested"):
    # Lines and tabs, as in real ones.
    return json.dumps({"mediaType": TYPE, "of": name, "what": what}, indent="\t")


def digest(name, what="tested"):
    return f"sha256:{hashlib.sha256(manifest(name, what).encode()).hexdigest()}"


class Ecr:
    def __init__(self, folder):
        self.file, self.calls, self.digests = folder / "ecr", folder / "calls", folder / "digests"
        self.path = f"{folder}/bin:/usr/bin:/bin"
        (folder / "bin").mkdir()
        (folder / "bin/aws").write_text(FAKE_AWS, encoding="utf-8")
        (folder / "bin/aws").chmod(0o755)
        self.write({
            f"shop/{name}": {
                "images": {digest(name, what): manifest(name, what) for what in ("tested", "other")},
                "tags": {"abc": digest(name)},
            }
            for name in SHIPPED
        })  # fmt: skip

    def read(self):
        return json.loads(self.file.read_text(encoding="utf-8"))

    def write(self, state):
        self.file.write_text(json.dumps(state), encoding="utf-8")

    def tag(self, name, tag, what):
        state = self.read()
        if what:
            state[f"shop/{name}"]["tags"][tag] = digest(name, what)
        else:
            del state[f"shop/{name}"]["tags"][tag]
        self.write(state)

    def tagged(self, tag):
        return {
            name.removeprefix("shop/"): has["tags"][tag] for name, has in self.read().items() if tag in has["tags"]
        }

    def retag(self, *args, registry=REGISTRY, **env):
        """The result, and how often something was put."""
        self.calls.write_text("", encoding="utf-8")
        env = {"PATH": self.path, "CALLS": self.calls, "ECR": self.file, "REFUSE": "", "RACE": "", **env}
        command = [ROOT / "docker/retag", "--registry", registry, "--from", "abc", "--tag", "v1.0.0", *args]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return done, self.calls.read_text(encoding="utf-8").count("put-image")


@pytest.fixture
def ecr(tmp_path):
    return Ecr(tmp_path)


def test_all_get_the_tag(ecr):
    done, put = ecr.retag("--digests", ecr.digests)
    assert done.returncode == 0, done.stderr
    assert put == len(SHIPPED)
    assert ecr.tagged("v1.0.0") == ecr.tagged("abc") == {name: digest(name) for name in SHIPPED}
    lines = [f"{name} {digest(name)}" for name in SHIPPED]
    assert ecr.digests.read_text(encoding="utf-8").splitlines() == lines


def test_only_those_that_are_named(ecr):
    done, _ = ecr.retag("gateway", "frontend")
    assert done.returncode == 0 and set(ecr.tagged("v1.0.0")) == {"gateway", "frontend"}


def test_again_does_nothing(ecr):
    ecr.retag("gateway")
    assert ecr.retag("--digests", ecr.digests)[1] == len(SHIPPED) - 1
    first = ecr.digests.read_bytes()
    done, put = ecr.retag("--digests", ecr.digests)
    assert done.returncode == 0 and put == 0 and "gateway:v1.0.0 is there already" in done.stderr
    assert ecr.digests.read_bytes() == first


def test_a_dry_run_only_looks(ecr):
    done, put = ecr.retag("--dry-run", "--digests", ecr.digests)
    assert done.returncode == 0 and put == 0 and ecr.tagged("v1.0.0") == {}
    said = done.stdout.splitlines()
    assert len(said) == len(SHIPPED)
    for name, line in zip(SHIPPED, said):
        assert line.startswith("aws ecr put-image ") and f"shop/{name} --image-tag v1.0.0" in line
        assert f"--image-digest {digest(name)} " in line
    assert len(ecr.digests.read_text(encoding="utf-8").splitlines()) == len(SHIPPED)


def test_one_that_is_missing_keeps_all_from_it(ecr):
    ecr.tag("frontend", "abc", None)
    done, put = ecr.retag("--digests", ecr.digests)
    assert done.returncode == 1 and put == 0 and not ecr.digests.exists()
    assert "has no shop/frontend:abc" in done.stderr and "see the job publish" in done.stderr


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["real", "dry"])
def test_a_tag_that_is_taken_keeps_all_from_it(ecr, dry):
    ecr.tag("frontend", "v1.0.0", "other")
    done, put = ecr.retag(*dry)
    assert done.returncode == 1 and put == 0 and set(ecr.tagged("v1.0.0")) == {"frontend"}
    for text in (digest("frontend"), digest("frontend", "other"), "take another one"):
        assert text in done.stderr


def test_who_else_does_the_same_is_no_fault(ecr):
    done, _ = ecr.retag("gateway", RACE="same")
    assert done.returncode == 0, done.stderr
    assert "ImageAlreadyExistsException" in done.stderr


def test_who_else_takes_the_tag_is_one(ecr):
    done, _ = ecr.retag("gateway", RACE=digest("gateway", "other"))
    assert done.returncode == 1 and "refuses the tag v1.0.0 for shop/gateway" in done.stderr


@pytest.mark.parametrize("command", ["batch-get-image", "put-image"])
def test_what_aws_refuses_is_an_error(ecr, command):
    done, _ = ecr.retag("--digests", ecr.digests, REFUSE=command)
    assert done.returncode == 1 and "RepositoryNotFoundException" in done.stderr and not ecr.digests.exists()
    assert ecr.tagged("v1.0.0") == {}


def test_only_ecr(ecr):
    done, _ = ecr.retag(registry="docker.io")
    assert done.returncode == 1 and ecr.calls.read_text(encoding="utf-8") == ""
