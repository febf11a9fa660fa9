"""Apache Kafka (KRaft, one node) and its topics."""

import json
import os
import shutil
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from . import kafka_home, proc, tls
from .layout import ROOT
from .ui import StackError, tail

NAME = "kafka"


def topics():
    """Names and settings of the topics; the same file feeds other environments."""
    text = (ROOT / "tools" / "topics.json").read_text(encoding="utf-8")
    return json.loads(text)["topics"]


def _tls_settings(layout, plain, secure, controller):
    material = tls.make(layout.tls)
    listeners = {"PLAINTEXT": plain, "SSL": secure, "CONTROLLER": controller}
    return {
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items()),
        # By name: the certificate is checked against it.
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{plain},SSL://localhost:{secure}",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": material["keystore"],
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": material["ca"],
        "ssl.client.auth": "none",
    }


def start(store, ports, use_tls):
    layout = store.layout
    data = layout.kafka / "data"
    if not (data / "meta.properties").exists():
        shutil.rmtree(data, ignore_errors=True)
        layout.kafka.mkdir(exist_ok=True)
        shutil.copytree(kafka_home.home() / "formatted", data)
    plain, controller = ports.get("kafka"), ports.get("kafka-controller")
    more = {}
    if use_tls:
        more = _tls_settings(layout, plain, ports.get("kafka-tls"), controller)
    properties = layout.kafka / "server.properties"
    kafka_home.write_properties(properties, data, plain, controller, more)
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
    return store.start(
        NAME,
        argv=[str(arg) for arg in kafka_home.argv(properties)],
        env=env,
        cwd=str(layout.kafka),
        kind=NAME,
        port=plain,
    )


def admin(port):
    # Quiet: until the broker listens, every attempt would be a line on stderr.
    return AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})


def wait(store, seconds=90):
    """Until the broker answers metadata requests; returns an admin client."""
    entry = store.processes[NAME]
    client = admin(entry["port"])
    deadline = time.monotonic() + seconds
    while proc.alive(entry) and time.monotonic() < deadline:
        try:
            if client.list_topics(timeout=1).brokers:
                return client
        except KafkaException:
            time.sleep(0.1)
    state = "does not answer" if proc.alive(entry) else "ended"
    raise StackError(f"kafka {state}; the end of {entry['log']}:\n{tail(entry['log'])}")


def make_topics(client):
    """Creates what is missing; topics are never made automatically."""
    there = client.list_topics(timeout=10).topics
    wanted = [t for t in topics() if t["name"] not in there]
    if not wanted:
        return
    new = [
        NewTopic(t["name"], t["partitions"], replication_factor=1, config=t["config"])
        for t in wanted
    ]
    for name, future in client.create_topics(new, operation_timeout=20).items():
        try:
            future.result(30)
        except KafkaException as error:
            raise StackError(f"cannot create topic {name}: {error}") from error
    _wait_leaders(client, {t["name"]: t["partitions"] for t in wanted})


def _wait_leaders(client, partitions):
    """A new partition without a leader would fail the first client that asks for it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        known = client.list_topics(timeout=10).topics
        led = {
            name: sum(p.leader >= 0 for p in known[name].partitions.values())
            for name in partitions
            if name in known
        }
        if led == partitions:
            return
        time.sleep(0.05)
    raise StackError("kafka did not choose leaders for the new topics")
