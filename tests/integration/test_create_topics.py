"""`processor --create-topics`: makes what is missing, and only says what differs."""

import contextlib
import json
import os
import secrets
import subprocess
import threading
import time

import pytest
from alone import binary, free_port, passed_on
from confluent_kafka.admin import AdminClient, ConfigResource
from proxy import Proxy
from shop_stack import ROOT


class Topics:
    """Topics of our own on the shared broker, and the file that names them."""

    def __init__(self, stack, folder):
        self.name = f"t{secrets.token_hex(4)}"
        self.names = [f"{self.name}-{kind}" for kind in ("orders", "results", "dlq")]
        self.kafka = AdminClient({"bootstrap.servers": stack["kafka"]["bootstrap"]})
        self.binary = binary("processor", stack["mode"])
        self.file = folder / "topics.json"
        self.env = {
            **passed_on(), "KAFKA_BOOTSTRAP_SERVERS": stack["kafka"]["bootstrap"], "TOPICS_FILE": str(self.file),
            **dict(zip(("ORDERS_TOPIC", "RESULTS_TOPIC", "DLQ_TOPIC"), self.names, strict=True)),
        }  # fmt: skip
        self.write()

    def write(self, partitions=3, **config):
        config = {"retention.ms": "3600000", **config}
        topics = [{"name": name, "partitions": partitions, "config": config} for name in self.names]
        self.file.write_text(json.dumps({"topics": topics}))

    def run(self, *args, **env):
        """(status, the log's lines)"""
        command = [self.binary, "--create-topics", *args]
        done = subprocess.run(command, env={**self.env, **env}, cwd=ROOT, capture_output=True, text=True, timeout=90)
        return done.returncode, [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]

    def there(self):
        known = self.kafka.list_topics(timeout=10).topics
        return {name: len(known[name].partitions) for name in self.names if name in known}

    def option(self, name, option):
        resource = ConfigResource("topic", name)
        return self.kafka.describe_configs([resource])[resource].result(20)[option].value

    def close(self):
        there = list(self.there())
        for future in (self.kafka.delete_topics(there) if there else {}).values():
            with contextlib.suppress(Exception):
                future.result(20)


@pytest.fixture
def topics(stack, tmp_path):
    rig = Topics(stack, tmp_path)
    yield rig
    rig.close()


def whys(lines, msg):
    return [line["why"] for line in lines if line["msg"] == msg]


def test_makes_what_is_missing_and_may_run_again(topics):
    status, lines = topics.run()
    assert status == 0, lines
    assert topics.there() == dict.fromkeys(topics.names, 3)
    assert topics.option(topics.names[0], "retention.ms") == "3600000"
    assert [line["topic"] for line in lines if line["msg"] == "topic created"] == topics.names
    status, lines = topics.run()
    assert status == 0 and [line["msg"] for line in lines] == ["all topics are there"]
    topics.kafka.delete_topics([topics.names[1]])[topics.names[1]].result(20)
    status, lines = topics.run()
    assert status == 0 and topics.there() == dict.fromkeys(topics.names, 3)


def test_says_what_differs_and_leaves_everything_alone(topics):
    assert topics.run()[0] == 0
    topics.names.append(f"{topics.name}-more")
    topics.write(partitions=4, **{"retention.ms": "7200000"})
    status, lines = topics.run(TOPICS_REPLICATION="2")
    differs = whys(lines, "topic differs")
    assert status == 1
    for name in topics.names[:3]:
        assert f"{name} has 3 partitions, not 4" in differs
        assert f"{name} has retention.ms=3600000, not 7200000" in differs
    assert "nothing was changed" in whys(lines, "no topics")[0]
    assert topics.there() == dict.fromkeys(topics.names[:3], 3)
    assert topics.option(topics.names[0], "retention.ms") == "3600000"
    topics.write()
    status, lines = topics.run(TOPICS_REPLICATION="2")
    assert status == 1
    assert f"{topics.names[0]} is kept 1 times, not 2 (TOPICS_REPLICATION)" in whys(lines, "topic differs")


def test_what_kafka_refuses_is_said(topics):
    topics.write(**{"no.such.setting": "1"})
    status, lines = topics.run()
    assert status == 1 and "no.such.setting" in whys(lines, "no topics")[0]
    topics.write()
    status, lines = topics.run(TOPICS_REPLICATION="9")
    assert status == 1 and "eplication factor" in whys(lines, "no topics")[0]


def test_wrong_settings_are_named(topics):
    for env, says in [
        ({"TOPICS_FILE": "/nowhere.json"}, "/nowhere.json"),
        ({"DLQ_TOPIC": "elsewhere"}, "DLQ_TOPIC is elsewhere"),
    ]:
        status, lines = topics.run(**env)
        assert status == 2 and says in whys(lines, "no topics")[0]
    status, lines = topics.run("more")
    assert status == 2 and "no argument" in whys(lines, "no topics")[0]
    assert topics.there() == {}


def test_waits_for_a_broker_that_is_still_starting(topics):
    port, broker = free_port(), int(topics.env["KAFKA_BOOTSTRAP_SERVERS"].rsplit(":", 1)[1])
    started = []
    late = threading.Timer(1.5, lambda: started.append(Proxy(broker, port)))
    late.start()
    try:
        began = time.monotonic()
        status, lines = topics.run(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}")
        assert status == 0, lines
        assert time.monotonic() - began > 1.4
    finally:
        late.join()
        started[0].close()
    assert topics.there() == dict.fromkeys(topics.names, 3)


def test_a_plain_port_is_not_taken_for_tls(topics):
    """Waiting does not help there, so it says at once what to look at."""
    authority = os.path.join(os.path.dirname(topics.file), "ca.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", os.devnull, "-out", authority,
         "-days", "2", "-subj", "/CN=a CA"], check=True, capture_output=True,
    )  # fmt: skip
    began = time.monotonic()
    status, lines = topics.run(KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_SSL_CAFILE=authority)
    assert status == 1 and "KAFKA_SECURITY_PROTOCOL" in whys(lines, "no topics")[0]
    assert time.monotonic() - began < 30
