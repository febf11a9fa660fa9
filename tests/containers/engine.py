"""The container engine as the tests use it: Docker where its engine answers, else tests/containers/engine."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import signal
import subprocess
import tarfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAMS = "gateway user-svc product-svc order-svc notify-svc analytics-svc processor".split()
IMAGES = [*PROGRAMS, "frontend", "mail-sink", "demo-data"]
# Images that are there, as they are (in CI those of its first step); else they are built beside them.
GIVEN = os.environ.get("IMAGES_TAG")
TAG = GIVEN or "test"


def reference(name, tag=TAG):
    return f"docker.io/shop/{name}:{tag}"


def run(*command, check=True, **more):
    """Its result with text output; a failure shows what it said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def until(check, seconds, what):
    """Waits for check() to be true; returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.25)
    return value


def sum_of(tar, entry):
    return entry.isfile() and hashlib.sha256(tar.extractfile(entry).read()).hexdigest()


class Docker:
    name = "docker"
    command = ["docker"]
    compose = ["docker", "compose"]
    env = {}

    def call(self, *args, **more):
        return run(*self.command, *args, **more)

    def images(self, *args, **more):
        env = {**os.environ, "CONTAINER_ENGINE": self.name, **more.pop("env", {})}
        return run(ROOT / "docker" / "images", *args, env=env, **more)

    def inspect(self, kind, name):
        return json.loads(self.call(kind, "inspect", name).stdout)[0]

    @contextlib.contextmanager
    def serving(self):
        yield

    def copy(self, container, path):
        """Content of a file in a container, running or not."""
        command = [*map(str, self.command), "cp", f"{container}:/{path}", "-"]
        raw = subprocess.run(command, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            return tar.extractfile(tar.next()).read()

    def read(self, image, path):
        container = self.call("create", "--no-healthcheck", image, "none").stdout.split()[-1]
        try:
            return self.copy(container, path)
        finally:
            self.call("rm", container)

    @contextlib.contextmanager
    def exported(self, image, *args):
        """Everything in an image, as a tar archive."""
        container = self.call("create", "--no-healthcheck", *args, image, "none").stdout.split()[-1]
        try:
            raw = subprocess.run([*map(str, self.command), "export", container], capture_output=True, check=True).stdout
        finally:
            self.call("rm", container)
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            yield tar

    def files(self, image):
        """Path -> (tar entry, sha256 of a file) of everything in an image."""
        with self.exported(image) as tar:
            return {entry.name.removeprefix("./"): (entry, sum_of(tar, entry)) for entry in tar}


class Podman(Docker):
    """podman by our script; compose is docker-compose 1.29, which talks to podman's socket."""

    name = "podman"
    command = [HERE / "engine", "podman"]
    compose = ["docker-compose"]

    @contextlib.contextmanager
    def serving(self):
        """Docker's API and the health checks, for as long as compose and its containers are used."""
        state = pathlib.Path(os.environ.get("CONTAINERS_STATE", "/var/tmp/shop-containers"))
        socket = state / f"docker.{os.getpid()}.sock"
        with open(state / f"serve.{os.getpid()}.log", "wb") as log:
            server = subprocess.Popen([HERE / "engine", "serve", socket], stdout=log, stderr=log)
        self.env = {"DOCKER_HOST": f"unix://{socket}"}
        try:
            until(socket.exists, 20, "podman's socket")
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
            socket.unlink(missing_ok=True)


def choose():
    name = os.environ.get("CONTAINER_ENGINE")
    if name:
        return Docker() if name == "docker" else Podman()
    try:
        answers = run("docker", "version", check=False).returncode == 0
    except FileNotFoundError:
        answers = False
    return Docker() if answers else Podman()
