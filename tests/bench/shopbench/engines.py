"""The two that count order events on one broker: our processor and the Kafka Streams application of streams/."""

import contextlib
import json
import os
import pathlib
import secrets
import signal
import subprocess
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from shopstack.ports import Ports

from . import machine

ROOT = pathlib.Path(__file__).resolve().parents[3]
GIVE_UP_S = 300
COMMIT_MS = 100


def _topic_settings():
    """Of the real topics, by what their names begin with here."""
    topics = json.loads((ROOT / "tools" / "topics.json").read_text(encoding="utf-8"))["topics"]
    return {topic["name"].rpartition("-")[2]: topic for topic in topics}


class Broker:
    """The stack's Kafka: topics, offsets, and what it costs."""

    def __init__(self, folder, build):
        self.build, self.work = pathlib.Path(build).resolve(), pathlib.Path(folder) / "engines"
        self.work.mkdir(exist_ok=True)
        self.prefix = f"bench-{secrets.token_hex(4)}"
        self.state = pathlib.Path(folder) / "state.json"
        stack = json.loads((pathlib.Path(folder) / "stack.json").read_text(encoding="utf-8"))
        self.bootstrap = stack["kafka"]["bootstrap"]
        # Quiet: that topics go away is no news.
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 3})
        self.kinds = _topic_settings()

    def cpu_s(self):
        """Seconds of CPU that the broker has used."""
        processes = json.loads(self.state.read_text(encoding="utf-8"))["processes"]
        return machine.cpu_s(processes["kafka"]["pid"])

    def topic(self, name, kind):
        """kind: events, results or dlq."""
        like = self.kinds[kind]
        new = NewTopic(name, like["partitions"], 1, config=like["config"])
        self.admin.create_topics([new], operation_timeout=20)[name].result(30)
        deadline = time.monotonic() + 30
        while not self._led(name, like["partitions"]):
            if time.monotonic() > deadline:
                raise RuntimeError(f"no leaders for {name}")
            time.sleep(0.05)
        return name

    def _led(self, name, partitions):
        """A client that comes before the leaders are known would have to wait and ask again."""
        known = self.admin.list_topics(timeout=10).topics.get(name)
        return known is not None and sum(p.leader >= 0 for p in known.partitions.values()) == partitions

    def drop(self, prefix):
        """All topics whose names begin so, with the changelogs that Streams made."""
        names = [name for name in self.admin.list_topics(timeout=10).topics if name.startswith(prefix)]
        for future in self.admin.delete_topics(names, operation_timeout=20).values() if names else ():
            with contextlib.suppress(KafkaException):
                future.result(30)

    def places(self, topic):
        return [TopicPartition(topic, p) for p in self.admin.list_topics(topic, timeout=10).topics[topic].partitions]


class Progress:
    """How far a group has committed in a topic."""

    def __init__(self, broker, group, topic):
        # Uncommitted: an open transaction is no error, only not there yet.
        self.consumer = Consumer({
            "bootstrap.servers": broker.bootstrap, "group.id": group, "isolation.level": "read_uncommitted",
            "enable.auto.commit": False,
        })  # fmt: skip
        self.places = broker.places(topic)

    def end(self):
        return sum(self.consumer.get_watermark_offsets(place, timeout=10)[1] for place in self.places)

    def done(self):
        return sum(max(0, place.offset) for place in self.consumer.committed(self.places, timeout=10))

    def wait(self, engine, seconds=GIVE_UP_S):
        """Until everything that is there now is committed."""
        end, deadline = self.end(), time.monotonic() + seconds
        while self.done() < end:
            if engine.child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{engine.kind} is at {self.done()} of {end}; see {engine.log}")
            time.sleep(0.02)

    def close(self):
        self.consumer.close()


class Engine:
    """One of the two on topics and a group of its own; `events` may be shared."""

    def __init__(self, broker, events):
        self.broker, self.events = broker, events
        self.group = f"{broker.prefix}-{self.kind.replace(' ', '-')}-{secrets.token_hex(3)}"
        self.results = broker.topic(f"{self.group}-results", "results")
        broker.topic(f"{self.group}-dlq", "dlq")
        self.dir = broker.work / self.group
        self.dir.mkdir()
        self.log = self.dir / "log"
        self.child, self.progress = None, Progress(broker, self.group, events)

    def start(self):
        self.began = time.monotonic()
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                [str(part) for part in self.line()], env=self.env(), cwd=self.dir, stdout=log, stderr=log
            )
        return self

    def env(self):
        return {
            "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "ORDERS_TOPIC": self.events, "RESULTS_TOPIC": self.results, "DLQ_TOPIC": f"{self.group}-dlq",
            "COMMIT_INTERVAL_MS": str(self.commit_ms), "LANG": "C.UTF-8", **self.more(),
        }  # fmt: skip

    def catch_up(self):
        """Seconds since its start until everything is committed."""
        self.progress.wait(self)
        return time.monotonic() - self.began

    def cpu_s(self):
        return machine.cpu_s(self.child.pid)

    def resident_mb(self):
        return machine.resident_kb(self.child.pid) / 1024

    def peak_mb(self):
        return machine.peak_kb(self.child.pid) / 1024

    def end(self, with_signal=signal.SIGTERM):
        self.child.send_signal(with_signal)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def close(self):
        if self.child and self.child.poll() is None:
            self.end(signal.SIGKILL)
        self.progress.close()
        self.broker.drop(self.group)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Ours(Engine):
    """As shipped: at this rate the next transaction ends 15 ms after one, in a backlog 100 ms after it."""

    kind, commit_ms = "ours", COMMIT_MS // 2

    def line(self):
        return [self.broker.build / "release" / "bin" / "processor"]

    def more(self):
        self.admin = f"127.0.0.1:{Ports({}).get('admin')}"
        return {"PROCESSOR_GROUP": self.group, "PROCESSOR_SLOT": "0", "ADMIN_LISTEN": self.admin, "DRAIN_WAIT_MS": "10"}


class OursInStep(Ours):
    """With the other's interval, to compare what a broker pays at the same number of transactions."""

    kind, commit_ms = "ours in step", COMMIT_MS

    def more(self):
        return {**super().more(), "COMMIT_QUIET_INTERVAL_MS": str(COMMIT_MS)}


class Streams(Engine):
    kind, commit_ms = "streams", COMMIT_MS

    def line(self):
        jars = self.broker.build / "streams"
        return ["java", "-Xmx1g", f"-Djava.io.tmpdir={self.dir}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                "-cp", f"{jars / 'shop-streams.jar'}:{jars / 'lib'}/*", "shop.ShopStreams"]  # fmt: skip

    def more(self):
        return {"GROUP": self.group, "STATE_DIR": str(self.dir / "state")}


ENGINES = (Ours, Streams)


def _users(reader, left, complaint):
    """(key, value) of users, until the end of the partitions in `left`."""
    deadline = time.monotonic() + GIVE_UP_S
    while left:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{complaint} in {GIVE_UP_S} s; left: {sorted(left)}")
        for message in reader.consume(10000, 1):
            error = message.error()
            if not error and message.key().startswith(b"u:"):
                yield message.key(), message.value()
            elif error and error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())


def sums(engine):
    """What the committed results add up to: (orders, cents) of all users."""
    reader = Consumer({
        "bootstrap.servers": engine.broker.bootstrap, "group.id": f"{engine.group}-sums", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True, "queued.max.messages.kbytes": 65536,
    })  # fmt: skip
    places = [TopicPartition(engine.results, place.partition, 0) for place in engine.broker.places(engine.results)]
    reader.assign(places)
    try:
        last = dict(_users(reader, {place.partition for place in places}, f"{engine.results} was not read"))
    finally:
        reader.close()
    users = [json.loads(value) for value in last.values()]
    return sum(user["orders"] for user in users), sum(round(user["spent"] * 100) for user in users)
