"""A running stack, as tests see it: addresses, clients, and the power to break things.

Made by the fixtures `stack` (shared by the whole run) and `new_stack` (one's own) in conftest.py.
"""

import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time

import pymysql
import requests
from confluent_kafka import Consumer, Producer
from waiting import until  # noqa: F401, for the tests

ROOT = pathlib.Path(__file__).resolve().parents[1]
# For shopstack, which knows ports and processes.
sys.path.append(str(ROOT / "tools"))
TOOL = str(ROOT / "tools" / "stack")
REPORTS = ROOT / "reports"
MODE = os.environ.get("SHOP_MODE", "asan")
# MySQL's server instead of MariaDB: `make test-mysql`.
MYSQL_BIN = os.environ.get("TEST_DB_SERVER")
TOKEN_S = 600  # less than TOKEN_TTL_S, 900
SQL_S = 60  # no statement of a test may take longer


def runs(pid):
    """Is there such a process?  One that nobody waited for yet does not count."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


class Stack:
    """One stack in a folder.  Indexing reads its JSON: stack["kafka"]["bootstrap"]."""

    def __init__(self, folder=None):
        self.own = folder is None
        self.dir = pathlib.Path(folder or tempfile.mkdtemp(prefix="shop-"))
        self.json = {}
        self.http = requests.Session()
        self.tokens = {}  # who -> (when, token)
        self.mode = MODE

    # ---- life ----

    def tool(self, command, *args, check=True):
        line = [TOOL, command, "--dir", str(self.dir), *map(str, args)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
        if check and done.returncode:
            raise AssertionError(f"tools/stack {command} failed:\n{done.stdout}{done.stderr}")
        return done

    def up(self, auth="demo", seed=True, instances=None, env=(), programs=None, options=(), mode=MODE):
        """`options`: further arguments of `tools/stack up`."""
        args = ["--auth", auth, "--mode", mode, *options]
        self.mode = mode
        args += [] if seed else ["--no-seed"]
        args += ["--mysql-bin", MYSQL_BIN] if MYSQL_BIN else []
        if programs is not None:
            args += ["--programs", ",".join(programs) or "none"]
        if instances:
            args += ["--instances", ",".join(f"{k}={v}" for k, v in instances.items())]
        for setting in env:
            args += ["--env", setting]
        self.tool("up", *args)
        self.refresh()
        return self

    def refresh(self):
        """Reads the JSON again: pids change at a restart."""
        self.json = json.loads((self.dir / "stack.json").read_text())

    def down(self):
        self.tool("down")

    def close(self):
        """Ends it, complains about what the sanitizers found, removes the folder."""
        self.down()
        reports = sorted((self.dir / "log").glob("sanitizer.*"))
        text = "\n".join(f"{r.name}\n{r.read_text(errors='replace')[:6000]}" for r in reports)
        keep = REPORTS / "stacks" / self.dir.name
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(self.dir / "log", keep)
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            for report in reports:
                report.unlink()
        assert not reports, f"sanitizer reports (logs in {keep}):\n{text}"

    def revive(self):
        """Starts what does not run; returns what that was, with the end of its log."""
        died = []
        for one in [one for group in self.json["services"].values() for one in group]:
            if not runs(one["pid"]):
                died.append(f"{one['name']} died; the end of its log:\n{self.log(one['name'])[-1500:]}")
                self.tool("start", one["name"], check=False)
        if died:
            self.refresh()
        return died

    def kill(self, name, signal="KILL"):
        self.tool("kill", name, "--signal", signal)

    def stop(self, name):
        self.tool("stop", name)

    def start(self, name, *args):
        self.tool("start", name, *args)
        self.refresh()

    def restart(self, name, *args):
        self.tool("restart", name, *args)
        self.refresh()

    # ---- addresses ----

    def __getitem__(self, key):
        return self.json[key]

    @property
    def gateway(self):
        return self.json["gateway"]

    @property
    def gateways(self):
        """Of all instances."""
        return [one["http"] for one in self.instances("gateway")]

    @property
    def frontend(self):
        return self.json["frontend"]

    @property
    def secret(self):
        return pathlib.Path(self.json["secret_file"]).read_text().strip()

    def instances(self, program):
        return self.json["services"][program]

    def binary(self, program):
        return ROOT / os.environ.get("BUILD", "build") / self.mode / "bin" / program

    def env(self, name):
        """The settings a process was started with."""
        return json.loads((self.dir / "state.json").read_text())["processes"][name]["env"]

    def log(self, name):
        return (self.dir / "log" / f"{name}.log").read_text(errors="replace")

    # ---- HTTP ----

    def api(self, method, path, json=None, headers=None, token=None, key=None, timeout=20, **more):
        """A request through the gateway; `token` is "demo", "admin" or a token."""
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {self.login(token)}"
        if key:
            headers["Idempotency-Key"] = key
        return self.http.request(method, self.gateway + path, json=json, headers=headers, timeout=timeout, **more)

    def login(self, who):
        if who not in ("demo", "admin"):
            return who
        when, token = self.tokens.get(who, (0, ""))
        if not token or time.monotonic() - when > TOKEN_S:
            login = self.json["logins"][who]
            body = {"email": login["email"], "password": login["password"]}
            answer = self.api("POST", "/api/auth/login", json=body)
            assert answer.status_code == 200, answer.text
            token = answer.json()["access_token"]
            self.tokens[who] = (time.monotonic(), token)
        return token

    def internal(self, method, path, who, json=None, headers=None, secret=None):
        """A service's call through the internal listener."""
        headers = {**(headers or {}), "Authorization": f"Service {who}:{secret or self.secret}"}
        return requests.request(method, self.json["internal"] + path, json=json, headers=headers, timeout=20)

    def metric(self, program, name, labels="", index=0):
        """One figure of /metrics, summed over what matches; `labels` is a part of {…}."""
        text = requests.get(f"{self.instances(program)[index]['admin']}/metrics", timeout=5).text
        found = re.findall(rf"^{re.escape(name)}(\{{[^}}]*\}})? ([^ \n]+)", text, flags=re.M)
        values = [float(value) for label, value in found if labels in label]
        return sum(values) if values else None

    # ---- things to test with ----

    def new_user(self, name="Test Customer", password="a long password"):
        """A fresh account: (user id, token)."""
        email = f"t-{secrets.token_hex(6)}@example.com"
        body = {"name": name, "email": email, "password": password}
        answer = self.api("POST", "/api/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        users = self.sql("user-svc", "SELECT id FROM users WHERE email = %s", email)
        return users[0][0], answer.json()["access_token"]

    def new_users(self, count):
        """Ids of fresh accounts, copies of one: to hash every password would take long."""
        first, mark = self.new_user()[0], f"t-{secrets.token_hex(6)}"
        numbers = " UNION ALL ".join(f"SELECT {n} n" for n in range(1, count))
        if numbers:
            self.sql(
                "user-svc", "INSERT INTO users (name, email, role, password_hash, created_at, updated_at) "
                f"SELECT name, CONCAT('{mark}-', n, '@example.com'), role, password_hash, created_at, updated_at "
                f"FROM users JOIN ({numbers}) many WHERE id = %s", first, write=True,
            )  # fmt: skip
        copies = self.sql("user-svc", "SELECT id FROM users WHERE email LIKE %s ORDER BY id", f"{mark}-%")
        return [first, *(user for (user,) in copies)]

    def new_product(self, stock=100, price=10.00, **more):
        """A fresh product; returns its id."""
        product = {
            "product_id": f"T-{secrets.token_hex(6).upper()}", "name": "Test product",
            "category": "test", "price": price, "stock": stock, **more,
        }  # fmt: skip
        answer = self.api("POST", "/api/products", json=product, token="admin")
        assert answer.status_code == 201, answer.text
        return product["product_id"]

    def order(self, user_id, product_id, quantity=1, **more):
        body = {"user_id": user_id, "product_id": product_id, "quantity": quantity}
        return self.api("POST", "/api/orders", json=body, **more)

    def totals(self, user_id, token="admin"):
        """The live totals of a user, or None."""
        answer = self.api("GET", f"/api/analytics/users/{user_id}", token=token)
        return answer.json() if answer.status_code == 200 else None

    def orders_counted(self, users):
        return sum((self.totals(user) or {"total_orders": 0})["total_orders"] for user in users)

    # ---- database, Kafka, mail ----

    def db(self, service=None, write=False):
        """A connection to a service's schema: reading, or with the service's own rights."""
        mysql = self.json["mysql"]
        user, password = mysql["user"], mysql["password"]
        if write:
            account = mysql["accounts"][service]
            user = account["user"]
            password = pathlib.Path(account["password_file"]).read_text().strip()
        return pymysql.connect(
            host=mysql["host"], port=mysql["port"], user=user, password=password,
            database=mysql["databases"].get(service), autocommit=True, read_timeout=SQL_S,
        )  # fmt: skip

    def sql(self, service, text, *args, write=False):
        """Rows of one statement."""
        with self.db(service, write) as connection, connection.cursor() as cursor:
            cursor.execute(text, args)
            return cursor.fetchall()

    def kafka_consumer(self, *topics, **settings):
        """Reads everything from the beginning, in a group of its own."""
        consumer = Consumer({
            "bootstrap.servers": self.json["kafka"]["bootstrap"],
            "group.id": f"test-{secrets.token_hex(6)}", "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "isolation.level": "read_committed",
            **{name.replace("_", "."): value for name, value in settings.items()},
        })  # fmt: skip
        if topics:
            consumer.subscribe(list(topics))
        return consumer

    def kafka_producer(self, **settings):
        return Producer({
            "bootstrap.servers": self.json["kafka"]["bootstrap"], "partitioner": "murmur2_random",
            **{name.replace("_", "."): value for name, value in settings.items()},
        })  # fmt: skip

    def events(self, topic="orders-events", seconds=20):
        """Everything on a topic now, in the order of each partition: Kafka messages."""
        consumer = self.kafka_consumer()
        try:
            return list(self._read_all(consumer, topic, time.monotonic() + seconds))
        finally:
            consumer.close()

    @staticmethod
    def _read_all(consumer, topic, deadline):
        from confluent_kafka import TopicPartition

        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            place = TopicPartition(topic, partition)
            low, high = consumer.get_watermark_offsets(place, timeout=10)
            consumer.assign([TopicPartition(topic, partition, low)])
            # By position and not by the last message: markers of transactions take offsets too.
            while consumer.position([place])[0].offset < high and low < high:
                message = consumer.poll(0.5)
                if message and not message.error():
                    yield message
                assert time.monotonic() < deadline, f"{topic} was not read in time"

    def mails(self, to=None):
        return requests.get(f"{self.json['mail']}/mails", params={"to": to}, timeout=10).json()["mails"]

    def mail_reply(self, text=""):
        """What the mail server answers from now on; empty: it accepts again."""
        requests.put(f"{self.json['mail']}/reply", data=text, timeout=10).raise_for_status()

    def mails_refused(self):
        """How often the mail server has answered as told since it started."""
        return requests.get(f"{self.json['mail']}/reply", timeout=10).json()["refused"]
