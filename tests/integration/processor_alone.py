"""The processor by itself: topics and a group of its own, and a model of what it must count."""

import base64
import contextlib
import json
import random
import secrets
import signal
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime

import alone
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from shop_stack import until

PARTITIONS = 4
READ_S = 60  # for reading a topic up to now
REMEMBERED = 16  # ids of a user's last events, which forgive one that comes again without a number
# So that a transaction under Load() holds more of them.
RARELY = {"COMMIT_QUIET_INTERVAL_MS": 400}


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def partition_of(user_id, partitions=PARTITIONS):
    """By Kafka's murmur2 of the user; results lie there under keys of their own, so no producer's partitioner would do."""
    data, mix, mask = str(user_id).encode(), 0x5BD1E995, 0xFFFFFFFF
    whole = len(data) // 4 * 4
    code = 0x9747B28C ^ len(data)
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * mix & mask
        code = (code * mix & mask) ^ ((word ^ word >> 24) * mix & mask)
    if whole < len(data):
        code = (code ^ int.from_bytes(data[whole:], "little")) * mix & mask
    code = (code ^ code >> 13) * mix & mask
    return ((code ^ code >> 15) & 0x7FFFFFFF) % partitions


def cents(amount):
    return round(amount * 100)


class Process(alone.Process):
    """One processor.  Its metrics are named without what all their names begin with."""

    def __init__(self, rig, slot=0, wait=True, failpoints="", **settings):
        self.slot = slot
        env = {
            **rig.env, "PROCESSOR_SLOT": str(slot), "FAILPOINTS": failpoints,
            **{name: str(value) for name, value in settings.items()},
        }  # fmt: skip
        log = rig.folder / f"processor-{slot}-{len(rig.started)}.log"
        super().__init__(rig.binary, env, log, wait=False, listeners=["ADMIN_LISTEN"])
        rig.started.append(self)
        if wait:
            until(self.ready, 20, "readiness")

    def metric(self, name, labels=""):
        return super().metric(f"shop_processor_{name}", labels) or 0

    def crashed(self):
        """It may end as told, by kill -9, or by itself with a reason: status 1, or the watchdog's last words."""
        code, lines = self.child.returncode, self.text().splitlines()
        stuck = code == -signal.SIGABRT and lines and "the engine is stuck" in lines[-1]
        return not stuck and code not in (0, 1, -signal.SIGKILL)

    def stopped(self):
        with open(f"/proc/{self.child.pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "T"

    def wake(self):
        self.child.send_signal(signal.SIGCONT)


class Reader:
    """Reads a topic committed, from the beginning, further with each call."""

    def __init__(self, bootstrap, topic, partitions):
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False,
            "isolation.level": "read_committed", "fetch.wait.max.ms": 20,
        })  # fmt: skip
        self.places = [TopicPartition(topic, p, 0) for p in range(partitions)]
        self.consumer.assign(self.places)
        self.messages = []

    def behind(self):
        places = self.consumer.position(self.places)
        return any(max(place.offset, 0) < self.consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)

    def read(self):
        """Everything up to now."""
        deadline = time.monotonic() + READ_S
        while self.behind():
            assert time.monotonic() < deadline, f"{self.places[0].topic} was not read in {READ_S} s"
            found = self.consumer.consume(1000, 0.05)
            self.messages += [m for m in found if not m.error()]
        return self.messages


class Alone:
    """Topics with random names on the shared broker, a producer, and the results."""

    def __init__(self, stack, folder, partitions=PARTITIONS):
        self.folder, self.started, self.partitions = folder, [], partitions
        self.name = f"p{secrets.token_hex(4)}"
        self.bootstrap = stack["kafka"]["bootstrap"]
        self.binary = alone.binary("processor", stack["mode"])
        self.orders, self.results, self.dlq = (f"{self.name}-{t}" for t in ("orders", "results", "dlq"))
        self.kafka = AdminClient({"bootstrap.servers": self.bootstrap})
        self.make_topic(self.orders, partitions)
        self.make_topic(self.results, partitions, {"cleanup.policy": "compact"})
        self.make_topic(self.dlq, 1)
        self.readers = {
            self.results: Reader(self.bootstrap, self.results, partitions),
            self.dlq: Reader(self.bootstrap, self.dlq, 1),
        }
        # Nothing lost, doubled or overtaken. One request at a time: with several, librdkafka can mix
        # up their numbers when a leader changes, which is fatal to it. The relay starts a new client
        # then and sends again; here nothing would forgive the events that come twice.
        self.producer = Producer({
            "bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random", "linger.ms": 1,
            "enable.idempotence": True, "max.in.flight": 1,
        })  # fmt: skip
        self.env = {
            **alone.passed_on(), "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap, "PROCESSOR_GROUP": self.name,
            "ORDERS_TOPIC": self.orders, "RESULTS_TOPIC": self.results, "DLQ_TOPIC": self.dlq,
            "DRAIN_WAIT_MS": "10",
        }  # fmt: skip

    def make_topic(self, name, partitions, config=None):
        alone.topic(self.kafka, name, partitions, config)

    def close(self):
        """Nobody may have crashed, and no sanitizer complained."""
        for process in self.started:
            if process.child.poll() is None:
                process.kill()
        self._clean_up()
        crashes = [(one.log.name, one.child.returncode) for one in self.started if one.crashed()]
        assert not crashes, crashes
        assert not alone.complaints(self.started)

    def _clean_up(self):
        for reader in self.readers.values():
            reader.consumer.close()
        for future in self.kafka.delete_topics([self.orders, self.results, self.dlq]).values():
            with contextlib.suppress(Exception):
                future.result(20)

    def start(self, slot=0, **more):
        return Process(self, slot, **more)

    def send(self, *events):
        for event in events:
            self.send_raw(str(event["user_id"]).encode(), json.dumps(event).encode())
        self.producer.flush(20)

    def send_raw(self, key, value, partition=None):
        where = {} if partition is None else {"partition": partition}
        self.producer.produce(self.orders, key=key, value=value, **where)
        self.producer.poll(0)

    def send_bare(self, *events):
        """Without numbers, so that nothing forgives an event that is counted twice: a transaction
        should then hold more events of a user than are remembered."""
        for event in events:
            del event["seq"]
        self.send(*events)

    # ---- results ----

    def exact(self, model, seconds=30):
        """Waits until the results are what the model says."""
        deadline = time.monotonic() + seconds
        while problems := model.problems(self.state()):
            assert time.monotonic() < deadline, problems[:5]
            time.sleep(0.05)
        assert versions_go_back(self.history()) == []

    def forgives_nothing(self):
        """Most events were in transactions with more of a user than are remembered: read again, they would count twice."""
        held, users, ends = [], defaultdict(set), defaultdict(int)
        for partition, key, value in self.history():
            if key.startswith("u:"):
                users[partition].add(key)
            elif key.startswith("p:"):
                held.append((partition, value["next"] - ends[partition]))
                ends[partition] = value["next"]
        enough = sum(events for partition, events in held if events > REMEMBERED * max(len(users[partition]), 1))
        share = enough / sum(events for _, events in held)
        print(f"{share:.0%} of the events were in large transactions; there were {len(held)}")
        return share > 0.5

    def undecided(self):
        """Partitions of the results on which a transaction is open."""
        ends = []
        for level in ("read_committed", "read_uncommitted"):
            consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "ends", "isolation.level": level})
            places = [TopicPartition(self.results, p) for p in range(self.partitions)]
            ends.append([consumer.get_watermark_offsets(place, timeout=10)[1] for place in places])
            consumer.close()
        return [p for p in range(self.partitions) if ends[0][p] != ends[1][p]]

    def history(self):
        """All committed records of the results in order: (partition, key, value)."""
        return [
            (m.partition(), m.key().decode(), json.loads(m.value()) if m.value() is not None else None)
            for m in self.readers[self.results].read()
        ]

    def state(self):
        """The last value of each key."""
        return {key: value for _, key, value in self.history() if value is not None}

    def user(self, user_id):
        return self.state().get(f"u:{user_id}")

    def dead(self):
        letters = [json.loads(m.value()) for m in self.readers[self.dlq].read()]
        for letter in letters:
            if letter["value_b64"] is not None:
                letter["value"] = base64.b64decode(letter["value_b64"])
        return letters


class Load:
    """Sends the model's events all the time, until the block ends, and without numbers; see Alone.forgives_nothing()."""

    def __init__(self, alone, model, pause=0.002):
        self.alone, self.model, self.pause = alone, model, pause
        self.over, self.sent_all = threading.Event(), False
        self.thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(20)
        assert self.sent_all, "the load's thread ended early"
        assert self.alone.producer.flush(60) == 0

    def _send(self):
        while not self.over.wait(self.pause):
            event = self.model.event()
            del event["seq"]
            self.alone.send_raw(str(event["user_id"]).encode(), json.dumps(event).encode())
        self.sent_all = True


class Model:
    """Makes events and knows what they add up to."""

    def __init__(self, seed, users=40, start=None):
        self.random, self.users = random.Random(seed), users
        self.start = start or time.time() - 600
        self.seq, self.order_id = defaultdict(int), 0
        self.orders, self.spent = defaultdict(int), defaultdict(int)
        self.windows = defaultdict(lambda: [0, 0, 0, 0])
        self.open = []

    def event(self):
        if self.open and self.random.random() < 0.15:
            return self._cancel(self.open.pop(self.random.randrange(len(self.open))))
        return self._order()

    def events(self, count):
        return [self.event() for _ in range(count)]

    def _finish(self, event, kind):
        user, amount = event["user_id"], cents(event["price"])
        self.seq[user] += 1
        event["seq"], event["type"] = self.seq[user], kind
        event["event_id"] = f"{event['order_id']:032x}"
        start = int(self.time // 60 * 60)
        sign, column = (1, 0) if kind == "order.created" else (-1, 2)
        self.orders[user] += sign
        self.spent[user] += sign * amount
        self.windows[start][column] += 1
        self.windows[start][column + 1] += amount
        return event

    def _now(self):
        self.time = self.start + self.order_id * 0.05 + self.random.random() * 30
        return rfc3339(self.time)

    def _order(self):
        self.order_id += 1
        event = {
            "order_id": self.order_id, "user_id": self.random.randint(1, self.users),
            "price": self.random.randint(1, 500000) / 100, "quantity": self.random.randint(1, 9),
            "timestamp": self._now(),
        }  # fmt: skip
        # Times are cut to milliseconds in the event.
        self.time = int(self.time * 1000) / 1000
        self.open.append(dict(event))
        return self._finish(event, "order.created")

    def _cancel(self, order):
        event = {**order, "timestamp": self._now()}
        return self._finish(event, "order.cancelled")

    def problems(self, state):
        """What in the results differs from what was sent."""
        wrong = []
        for user in range(1, self.users + 1):
            got = state.get(f"u:{user}", {"orders": 0, "spent": 0})
            if (got["orders"], cents(got["spent"])) != (self.orders[user], self.spent[user]):
                wrong.append(f"user {user}: {got} is not {self.orders[user]} {self.spent[user]}")
        sums = defaultdict(lambda: [0, 0, 0, 0])
        for key, value in state.items():
            if key.startswith("w:"):
                row = sums[value["start"]]
                row[0] += value["orders"]
                row[1] += cents(value["revenue"])
                row[2] += value["cancelled"]
                row[3] += cents(value["refunded"])
        for start in set(sums) | set(self.windows):
            if sums[start] != self.windows[start]:
                wrong.append(f"window {start}: {sums[start]} is not {self.windows[start]}")
        return wrong


def bare_model(seed):
    """Two users; from two hours ago, so that however many events it takes, none is ahead of the clock."""
    return Model(seed, users=2, start=time.time() - 7200)


def versions_go_back(history):
    """Keys whose version did not strictly rise: a sign of results written twice."""
    last, wrong = {}, []
    for partition, key, value in history:
        if value is None:
            continue
        if value["v"] <= last.get((partition, key), 0):
            wrong.append((partition, key, last[partition, key], value["v"]))
        last[partition, key] = value["v"]
    return wrong
