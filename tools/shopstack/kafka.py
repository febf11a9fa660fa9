"""Apache Kafka (KRaft, one node or three)."""

import json
import os
import shutil
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from . import kafka_home, proc, tls
from .layout import ROOT
from .ui import StackError, tail

NAME = "kafka"


def topics():
    """Names and settings of the topics, as `processor --create-topics` makes them."""
    text = (ROOT / "tools" / "topics.json").read_text(encoding="utf-8")
    return json.loads(text)["topics"]


def nodes(options):
    """Names of the brokers: one, or three that keep everything thrice."""
    count = options.get("kafka_nodes", 1)
    return [NAME] if count == 1 else [f"{NAME}.{number}" for number in range(1, count + 1)]


def addresses(options, ports, listener=""):
    """Where clients find the brokers: `ports` by name, `listener` as in the names of the ports."""
    host = "localhost" if listener == "-tls" else "127.0.0.1"  # by name: the certificate is checked against it
    return ",".join(f"{host}:{ports[node + listener]}" for node in nodes(options))


def proxy_addresses(options):
    """Where a proxy is expected to listen, one port a broker; "" without one."""
    return ",".join(f"127.0.0.1:{port}" for port, _ in options.get("kafka_proxy") or [])


def port_names(node, options):
    """The ports that one broker listens on."""
    names = [node, f"{node}-controller"]
    names += [f"{node}-tls"] if options.get("kafka_tls") else []
    return names


def _listeners(ports, node, options):
    given = kafka_home.listeners(ports.get(node), ports.get(f"{node}-controller"))
    if options.get("kafka_tls"):
        secure = ports.get(f"{node}-tls")
        given["listeners"] += f",SSL://127.0.0.1:{secure}"
        given["advertised.listeners"] += f",SSL://localhost:{secure}"
    if options.get("kafka_proxy"):
        # Whoever comes through this listener is led back to the proxy by the broker's answers.
        proxy, behind = options["kafka_proxy"][nodes(options).index(node)]
        given["listeners"] += f",PROXIED://127.0.0.1:{behind}"
        given["advertised.listeners"] += f",PROXIED://127.0.0.1:{proxy}"
    return given


def _certificates(layout):
    material = tls.make(layout.tls)
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": material["keystore"],
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": material["ca"],
        "ssl.client.auth": "none",
    }


def start(store, ports):
    """Starts the brokers that do not run."""
    for node in nodes(store.options):
        if not proc.alive(store.processes.get(node)):
            _start_node(store, ports, node)


def _start_node(store, ports, node):
    options = store.options
    home = kafka_home.Home(options.get("kafka_version", kafka_home.DEFAULT))
    node_id = nodes(options).index(node) + 1
    folder = store.layout.kafka / node.removeprefix(NAME).lstrip(".")
    data = folder / "data"
    if not (data / "meta.properties").exists():
        shutil.rmtree(data, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(home.formatted(node_id), data)
    more = _listeners(ports, node, options)
    if options.get("kafka_tls"):
        more.update(_certificates(store.layout))
    controllers = [ports.get(f"{name}-controller") for name in nodes(options)]
    properties = folder / "server.properties"
    kafka_home.write_properties(properties, data, node_id, controllers, more)
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
    return store.start(
        node,
        argv=[str(arg) for arg in home.argv(properties, options.get("kafka_both_compilers"))],
        env=env,
        cwd=str(folder),
        kind=NAME,
        port=ports.get(node),
    )


def admin(port):
    # Quiet: until the broker listens, every attempt would be a line on stderr.
    return AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})


def wait(store, names=None, seconds=90):
    """Until each of these brokers (or all) answers and knows of the others that run."""
    for name in names or nodes(store.options):
        _wait_node(store, name, seconds)


def _wait_node(store, name, seconds):
    entry = store.processes[name]
    client = admin(entry["port"])
    deadline = time.monotonic() + seconds
    while proc.alive(entry) and time.monotonic() < deadline:
        wanted = {store.processes[n]["port"] for n in nodes(store.options) if proc.alive(store.processes.get(n))}
        try:
            if wanted <= {broker.port for broker in client.list_topics(timeout=1).brokers.values()}:
                return
        except KafkaException:
            pass
        time.sleep(0.1)
    state = "does not answer" if proc.alive(entry) else "ended"
    raise StackError(f"{name} {state}; the end of {entry['log']}:\n{tail(entry['log'])}")
