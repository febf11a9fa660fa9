"""Kafka over TLS by the usual variables, and a wrong CA that says what is wrong."""

import os
import subprocess

import pytest
from shop_stack import Stack, until


@pytest.fixture(scope="module")
def shop():
    stack = Stack()
    try:
        yield stack.up(options=["--kafka-tls"], env=("KAFKA_API_VERSION=3.5.1",))
    finally:
        stack.close()


def test_an_order_over_tls(shop):
    assert shop.env("order-svc")["KAFKA_SECURITY_PROTOCOL"] == "SSL"
    before = shop.totals(1)["total_orders"]
    assert shop.order(1, "LAPTOP001").status_code == 201
    until(lambda: shop.totals(1)["total_orders"] == before + 1, 20, "the order in the analytics")

    # The same processes with another CA: refused, and the log says which setting to look at.
    wrong = shop.dir / "wrong-ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", os.devnull, "-out", wrong,
         "-days", "2", "-subj", "/CN=another CA"], check=True, capture_output=True,
    )  # fmt: skip
    shop.tool("stop", "processor")
    binary = shop.binary("processor")
    env = {**shop.env("processor"), "KAFKA_SSL_CAFILE": str(wrong)}
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


def test_a_missing_ca_file_stops_the_start(shop):
    shop.tool("stop", "analytics-svc")
    binary = shop.binary("analytics-svc")
    env = {**shop.env("analytics-svc"), "KAFKA_SSL_CAFILE": "/does/not/exist.pem"}
    done = subprocess.run([binary], env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0
    assert "KAFKA_SSL_CAFILE" in done.stderr
