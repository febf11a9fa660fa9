"""order-svc by itself: a schema and a topic of its own, and a FakeShop for the rest."""

import contextlib
import getpass
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess

import pymysql
import requests
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from shop_stack import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTITIONS = 3


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """One order-svc."""

    def __init__(self, alone, wait=True, **settings):
        port, admin = free_port(), free_port()
        self.url, self.admin = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}"
        env = {
            **alone.env, "LISTEN": f"127.0.0.1:{port}", "ADMIN_LISTEN": f"127.0.0.1:{admin}",
            **{name: str(value) for name, value in settings.items()},
        }  # fmt: skip
        self.log = alone.folder / f"order-svc-{port}.log"
        with open(self.log, "wb") as out:
            self.child = subprocess.Popen([alone.binary], env=env, cwd=ROOT, stderr=out, stdout=out)
        alone.started.append(self)
        if wait:
            until(self._ready, 20, "readiness")

    def _ready(self):
        assert self.child.poll() is None, self.log.read_text()[-3000:]
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.admin}/readyz", timeout=2).status_code == 200
        return False

    def post(self, path="/api/orders", body=None, key=None, timeout=20, **headers):
        if key:
            headers["Idempotency-Key"] = key
        return requests.post(self.url + path, json=body, headers=headers, timeout=timeout)

    def get(self, path, **params):
        return requests.get(self.url + path, params=params, timeout=20)

    def metric(self, name):
        text = requests.get(f"{self.admin}/metrics", timeout=5).text
        for line in text.splitlines():
            if line.startswith((name + " ", name + "{")) and not line.startswith("#"):
                return float(line.rsplit(" ", 1)[1])
        return None

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(10)

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return self.child.returncode


class OrderAlone:
    def __init__(self, stack, folder, shop):
        self.shop, self.folder, self.started = shop, folder, []
        self.name = f"alone_{secrets.token_hex(4)}"
        self.bootstrap = stack["kafka"]["bootstrap"]
        self.mysql = stack["mysql"]
        build = pathlib.Path(os.environ.get("BUILD", "build"))
        self.binary = str(ROOT / build / stack["mode"] / "bin" / "order-svc")
        self.secret = secrets.token_hex(16)
        self._make_schema()
        self._make_topic()
        self.env = self._environment()
        self._migrate()

    def _admin(self):
        return pymysql.connect(unix_socket=self.mysql["socket"], user=getpass.getuser(), autocommit=True)

    def _make_schema(self):
        with self._admin() as db, db.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {self.name}")
            cursor.execute(f"CREATE USER '{self.name}'@'127.0.0.1' IDENTIFIED BY '{self.secret}'")
            cursor.execute(f"GRANT ALL ON {self.name}.* TO '{self.name}'@'127.0.0.1'")

    def _make_topic(self):
        self.kafka = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in self.kafka.create_topics([NewTopic(self.name, PARTITIONS, 1)]).values():
            future.result(20)

    def _environment(self):
        passed = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS")}
        return {
            **passed, "DB_HOST": "127.0.0.1", "DB_PORT": str(self.mysql["port"]),
            "DB_USER": self.name, "DB_PASSWORD": self.secret, "DB_NAME": self.name,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, "ORDERS_TOPIC": self.name,
            "INTERNAL_URL": self.shop.url, "AUTH_MODE": "demo", "SERVICE_SECRET": self.secret,
            "MIGRATIONS_DIR": str(ROOT / "order-svc" / "migrations"), "DRAIN_WAIT_MS": "50",
        }  # fmt: skip

    def _migrate(self):
        subprocess.run([self.binary, "--migrate"], env=self.env, cwd=ROOT, check=True)

    def start(self, **settings):
        return Process(self, **settings)

    def sql(self, text, *args):
        with self._admin() as db, db.cursor() as cursor:
            cursor.execute(f"USE {self.name}")
            cursor.execute(text, args)
            return cursor.fetchall()

    def one(self, text, *args):
        return self.sql(text, *args)[0][0]

    def events(self):
        """Everything on the topic now: (key, value, headers) in order of each partition."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name, "enable.auto.commit": False})
        try:
            out = []
            for partition in range(PARTITIONS):
                low, high = consumer.get_watermark_offsets(TopicPartition(self.name, partition), timeout=10)
                consumer.assign([TopicPartition(self.name, partition, low)])
                while low < high:
                    message = consumer.poll(5)
                    assert message and not message.error(), message and message.error()
                    low = message.offset() + 1
                    headers = {k: v.decode() for k, v in message.headers() or []}
                    out.append((message.key().decode(), json.loads(message.value()), headers))
            return out
        finally:
            consumer.close()

    def at_rest(self):
        """What must hold whatever happened: one order a key, one event an order and type,
        the numbers of a user without a hole, an outcome for every order."""
        until(lambda: self.one("SELECT COUNT(*) FROM outbox") == 0, 15, "an empty outbox")
        assert not self.sql("SELECT user_id, idempotency_key FROM order_keys GROUP BY 1, 2 HAVING COUNT(*) > 1")
        assert not self.sql(
            "SELECT o.id FROM orders o LEFT JOIN outcomes u ON u.reservation_id ="
            " o.reservation_id AND u.outcome = 'committed' WHERE u.reservation_id IS NULL"
        )
        assert not self.sql(
            "SELECT u.reservation_id FROM outcomes u LEFT JOIN orders o ON o.reservation_id ="
            " u.reservation_id WHERE u.outcome = 'committed' AND o.id IS NULL"
        )
        assert not self.sql(
            "SELECT o.id FROM orders o WHERE o.total_price <> (SELECT SUM(quantity * unit_price)"
            " FROM order_items i WHERE i.order_id = o.id)"
        )
        self._check_events()

    def _check_events(self):
        events, first, last = self.events(), {}, {}
        for key, value, headers in events:
            assert key == str(value["user_id"]) and headers["event_id"] == value["event_id"]
            same = first.setdefault((value["order_id"], value["type"]), value)
            assert same == value, "a repeated event must be the same event"
            seen = last.get(key, 0)
            assert value["seq"] <= seen + 1, "events of a user in order, repeats aside"
            last[key] = max(seen, value["seq"])
        created = {order for order, kind in first if kind == "order.created"}
        cancelled = {order for order, kind in first if kind == "order.cancelled"}
        assert created == {row[0] for row in self.sql("SELECT id FROM orders")}
        assert cancelled == {row[0] for row in self.sql("SELECT id FROM orders WHERE status = 'cancelled'")}
        assert last == {str(u): s for u, s in self.sql("SELECT user_id, seq FROM user_seq")}

    def close(self):
        ends = [process.stop() for process in self.started]
        with self._admin() as db, db.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {self.name}")
            cursor.execute(f"DROP USER '{self.name}'@'127.0.0.1'")
        self.kafka.delete_topics([self.name])
        assert set(ends) <= {0, -signal.SIGKILL}, "a clean end, no sanitizer's report"
