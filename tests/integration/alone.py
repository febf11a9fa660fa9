"""One program by itself: a process with free ports, and for those with a database a schema and a
topic of their own on the servers of the shared stack."""

import contextlib
import getpass
import os
import re
import secrets
import signal
import subprocess

import pymysql
import requests
from confluent_kafka.admin import AdminClient, NewTopic
from shop_stack import ROOT, SQL_S, until
from shopstack.ports import Ports

# What the sanitizers write, whatever the process ends with.
SANITIZER = re.compile(r"^.*(?:(?:ERROR|WARNING): \w+Sanitizer|: runtime error: ).*", re.M)


PORTS = Ports({})


def free_port():
    """None that was given before."""
    return PORTS.get(len(PORTS.by_name))


def binary(program, mode):
    return str(ROOT / os.environ.get("BUILD", "build") / mode / "bin" / program)


def passed_on():
    """What a program needs of our own environment."""
    return {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "LSAN_OPTIONS")}


def topic(kafka, name, partitions, config=None):
    # -1: kept as often as the brokers are told to.
    for future in kafka.create_topics([NewTopic(name, partitions, -1, config=config or {})]).values():
        future.result(20)


class Process:
    """A running program.  Settings named in `listeners` get a free port of loopback each."""

    def __init__(self, program, env, log, wait=True, listeners=("LISTEN", "ADMIN_LISTEN")):
        self.ports = {name: free_port() for name in listeners}
        self.url, self.admin = (
            f"http://127.0.0.1:{self.ports[name]}" if name in self.ports else None for name in ("LISTEN", "ADMIN_LISTEN")
        )
        listen = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        self.log = log
        with open(log, "wb") as out:
            self.child = subprocess.Popen([program], env={**listen, **env}, cwd=ROOT, stderr=out, stdout=out)
        if wait:
            until(self.ready, 20, "readiness")

    def ready(self):
        assert self.child.poll() is None, self.text()[-3000:]
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.admin}/readyz", timeout=2).status_code == 200
        return False

    def text(self):
        return self.log.read_text(errors="replace")

    def metric(self, name, labels=""):
        """Summed over the series that match; None if there is none."""
        text = requests.get(f"{self.admin}/metrics", timeout=5).text
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if labels in line]
        return sum(values) if values else None

    def rss_kb(self):
        with open(f"/proc/{self.child.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def killed(self, seconds=20):
        """Waits for the end that a failpoint makes; a crash is another one."""
        until(lambda: self.child.poll() is not None, seconds, "its end by kill -9")
        assert self.child.returncode == -signal.SIGKILL, (self.child.returncode, self.text()[-3000:])

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(10)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.child.returncode


def complaints(processes):
    """The sanitizers' reports about them."""
    return [f"{one.log.name}: {match[0]}" for one in processes for match in SANITIZER.finditer(one.text())]


class ServiceAlone:
    """A schema, a topic, and the processes that were started on them; migrated."""

    def __init__(self, stack, folder, program, partitions):
        self.folder, self.program, self.started = folder, program, []
        self.name = f"alone_{secrets.token_hex(4)}"
        self.secret = secrets.token_hex(16)
        self.bootstrap, self.mysql = stack["kafka"]["bootstrap"], stack["mysql"]
        self.binary = binary(program, stack["mode"])
        self._make_schema()
        self.kafka = AdminClient({"bootstrap.servers": self.bootstrap})
        topic(self.kafka, self.name, partitions)
        self.env = {
            **passed_on(), "DB_HOST": "127.0.0.1", "DB_PORT": str(self.mysql["port"]),
            "DB_USER": self.name, "DB_PASSWORD": self.secret, "DB_NAME": self.name,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, "ORDERS_TOPIC": self.name,
            "AUTH_MODE": "demo", "SERVICE_SECRET": self.secret, "DRAIN_WAIT_MS": "50",
            "MIGRATIONS_DIR": str(ROOT / program / "migrations"), **self.settings(),
        }  # fmt: skip
        subprocess.run([self.binary, "--migrate"], env=self.env, cwd=ROOT, check=True)

    def settings(self):
        """Further settings of this program."""
        return {}

    def connect(self):
        return pymysql.connect(
            unix_socket=self.mysql["socket"], user=getpass.getuser(), autocommit=True, read_timeout=SQL_S
        )

    def _make_schema(self):
        with self.connect() as db, db.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {self.name}")
            cursor.execute(f"CREATE USER '{self.name}'@'127.0.0.1' IDENTIFIED BY '{self.secret}'")
            cursor.execute(f"GRANT ALL ON {self.name}.* TO '{self.name}'@'127.0.0.1'")

    def run(self, kind=Process, wait=True, **settings):
        log = self.folder / f"{self.program}-{self.name}-{len(self.started)}.log"
        env = {**self.env, **{name: str(value) for name, value in settings.items()}}
        process = kind(self.binary, env, log, wait=False)
        self.started.append(process)
        if wait:
            until(process.ready, 20, "readiness")
        return process

    def sql(self, text, *args):
        with self.connect() as db, db.cursor() as cursor:
            cursor.execute(f"USE {self.name}")
            cursor.execute(text, args)
            return cursor.fetchall()

    def one(self, text, *args):
        return self.sql(text, *args)[0][0]

    def cut_connections(self):
        """Kills the service's sessions, wherever they are in a transaction."""
        with self.connect() as db, db.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (self.name,))
            for (session,) in cursor.fetchall():
                with contextlib.suppress(pymysql.MySQLError):
                    cursor.execute(f"KILL {session}")

    def close(self):
        try:
            ends = [process.stop() for process in self.started]
            assert set(ends) <= {0, -signal.SIGKILL}, ("a clean end", ends)
            assert not complaints(self.started)
        finally:
            for process in self.started:
                if process.child.poll() is None:
                    process.kill()
            with self.connect() as db, db.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {self.name}")
                cursor.execute(f"DROP USER '{self.name}'@'127.0.0.1'")
            self.kafka.delete_topics([self.name])
