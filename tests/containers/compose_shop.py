"""A shop by docker/compose.yaml, in a copy of docker/ with ports, secrets and a project name of its own."""

import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess

import requests
from engine import ROOT, TAG, run, until

PORTS = "FRONTEND GATEWAY MAIL PROMETHEUS ALERTMANAGER GRAFANA".split()
ONCE = "migrate-user-svc migrate-product-svc migrate-order-svc migrate-notify-svc topics".split()
ONCE += "demo-customer demo-admin demo-data".split()
UP_S = 300


def free_ports(count):
    """Held open together, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Shop:
    def __init__(self, engine, folder, **settings):
        self.engine = engine
        self.dir = pathlib.Path(folder) / "docker"
        self.project = f"shoptest{secrets.token_hex(3)}"
        shutil.copytree(ROOT / "docker", self.dir, ignore=shutil.ignore_patterns("secrets", ".env"))
        if (ROOT / "monitoring").is_dir():
            shutil.copytree(ROOT / "monitoring", self.dir.parent / "monitoring")
        run(self.dir / "setup")
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.settings = {f"{name}_PORT": port for name, port in self.ports.items()}
        self.settings.update(COMPOSE_PROJECT_NAME=self.project, TAG=TAG, **settings)
        self.write_env()
        self.files = ["compose.yaml"]
        self.said = ""  # by compose, whenever up() was called
        self.http = requests.Session()

    def write_env(self):
        """.env as a person would change it."""
        lines = (self.dir / ".env.example").read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in self.settings]
        kept += [f"{name}={value}" for name, value in self.settings.items()]
        (self.dir / ".env").write_text("\n".join(kept) + "\n", encoding="utf-8")

    # ---- compose ----

    def compose(self, *args, env=None, **more):
        chosen = [part for name in self.files for part in ("-f", name)]
        known = {k: v for k, v in os.environ.items() if k not in ("TAG", "REGISTRY")}
        full = {**known, **self.engine.env, **(env or {})}
        return run(*self.engine.compose, *chosen, *args, cwd=self.dir, env=full, timeout=UP_S + 60, **more)

    def up(self, *args, **more):
        """Started, and the demo data loaded."""
        done = self.compose("up", "-d", *args, **more)
        self.said += done.stdout + done.stderr
        if not args:
            self.wait_loaded()
        return done

    def wait_loaded(self):
        until(lambda: self.state("demo-data")["Status"] == "exited", UP_S, "the demo data")
        assert self.state("demo-data")["ExitCode"] == 0, self.logs("demo-data")
        self.wait_healthy()

    def close(self):
        self.compose("down", "-v", "-t", "20", check=False)
        shutil.rmtree(self.dir.parent, ignore_errors=True)

    def services(self):
        return self.compose("config", "--services").stdout.split()

    def id(self, service):
        labels = (f"project={self.project}", f"service={service}")
        filters = [part for label in labels for part in ("--filter", f"label=com.docker.compose.{label}")]
        return self.engine.call("ps", "-aq", *filters).stdout.split()[0]

    def inspect(self, service):
        return self.engine.inspect("container", self.id(service))

    def state(self, service):
        return self.inspect(service)["State"]

    def health(self, service):
        state = self.state(service)
        return (state.get("Health") or state.get("Healthcheck") or {}).get("Status", "none")

    def wait_healthy(self, *services, seconds=120):
        for service in services or [s for s in self.services() if s not in ONCE]:
            until(lambda s=service: self.health(s) == "healthy", seconds, f"{service} is {self.health(service)}")

    def logs(self, service):
        done = self.engine.call("logs", self.id(service))
        return done.stdout + done.stderr

    def secret(self, name):
        return (self.dir / "secrets" / name).read_text(encoding="utf-8").strip()

    # ---- the shop ----

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def api(self, method, path, at="FRONTEND", **more):
        return self.http.request(method, self.url(at) + path, timeout=20, **more)

    def order(self, user_id=1, product="MOUSE001", quantity=1):
        body = {"user_id": user_id, "product_id": product, "quantity": quantity}
        return self.api("POST", "/api/orders", json=body, headers={"Idempotency-Key": secrets.token_hex(8)})

    def total(self, user_id=1):
        answer = self.api("GET", f"/api/analytics/users/{user_id}")
        return answer.json()["total_orders"] if answer.status_code == 200 else 0

    def mails(self, to):
        return self.http.get(f"{self.url('MAIL')}/mails", params={"to": to}, timeout=10).json()["mails"]

    def works(self):
        """An order from the page to the live totals and the customer's mailbox."""
        before, mails = self.total(), len(self.mails("demo@example.com"))
        answer = self.order()
        assert answer.status_code == 201, answer.text
        until(lambda: self.total() == before + 1, 30, "the order in the analytics")
        until(lambda: len(self.mails("demo@example.com")) > mails, 90, "the mail about the order")


def host_process(pid):
    """/proc/PID/status of a container's first process, by name."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def json_lines(text):
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def crash(pid):
    """As the kernel would on lack of memory: nobody told the engine."""
    # It is another user's: in CI the tests are not root.
    rights = ["sudo", "-n"] if os.geteuid() else []
    subprocess.run([*rights, "kill", "-9", str(pid)], check=True)
