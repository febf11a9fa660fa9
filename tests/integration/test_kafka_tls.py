"""Kafka over TLS by the usual variables, and a wrong CA that says what is wrong."""

import os
import subprocess

import pytest
from shop_stack import ROOT, Stack, until


@pytest.fixture(scope="module")
def shop():
    stack = Stack()
    try:
        yield stack.up(options=["--kafka-tls"], env=("KAFKA_API_VERSION=3.5.1",))
    finally:
        stack.close()


@pytest.fixture(scope="module")
def wrong_ca(shop):
    wrong = str(shop.dir / "wrong-ca.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", os.devnull, "-out", wrong,
         "-days", "2", "-subj", "/CN=another CA"], check=True, capture_output=True,
    )  # fmt: skip
    return wrong


def test_an_order_over_tls(shop, wrong_ca):
    assert shop.env("order-svc")["KAFKA_SECURITY_PROTOCOL"] == "SSL"
    before = shop.totals(1)["total_orders"]
    assert shop.order(1, "LAPTOP001").status_code == 201
    until(lambda: shop.totals(1)["total_orders"] == before + 1, 20, "the order in the analytics")

    # The same processes with another CA: refused, and the log says which setting to look at.
    shop.tool("stop", "processor")
    binary = shop.binary("processor")
    env = {**shop.env("processor"), "KAFKA_SSL_CAFILE": wrong_ca}
    done = subprocess.Popen([binary], env=env, stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        for line in done.stderr:
            lines.append(line)
            if "KAFKA_SSL_CAFILE" in line:
                break
            assert len(lines) < 200
        assert "KAFKA_SSL_CAFILE" in lines[-1]
    finally:
        done.kill()
        done.wait()


def test_topics_over_tls(shop, wrong_ca):
    """The stack made them so; here that they are there, and what a CA that did not sign says."""
    binary, env = shop.binary("processor"), shop.env("processor")

    def create(**more):
        command = [binary, "--create-topics"]
        return subprocess.run(command, env={**env, **more}, cwd=ROOT, capture_output=True, text=True, timeout=50)

    done = create()
    assert done.returncode == 0, done.stderr
    assert "topic created" not in done.stderr
    done = create(KAFKA_SSL_CAFILE=wrong_ca)
    assert done.returncode == 1 and "KAFKA_SSL_CAFILE" in done.stderr


def test_a_missing_ca_file_stops_the_start(shop):
    shop.tool("stop", "analytics-svc")
    binary = shop.binary("analytics-svc")
    env = {**shop.env("analytics-svc"), "KAFKA_SSL_CAFILE": "/does/not/exist.pem"}
    done = subprocess.run([binary], env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0
    assert "KAFKA_SSL_CAFILE" in done.stderr
