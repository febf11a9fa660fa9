"""What every program says about itself on ADMIN_LISTEN, and the probe that containers use."""

import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from alone import Process, binary, free_port, passed_on
from dns import Dns, program_with_dns
from gateway_rig import Gateway, Upstream, always, reply
from shop_stack import MODE
from shopstack import programs, tls


@pytest.fixture
def gateway():
    with Upstream(always(reply(b"ok"))) as up, Gateway({"/x": up}, SERVICE_VERSION="1.2.3") as gw:
        yield gw


def metrics(admin):
    return requests.get(f"{admin}/metrics", timeout=5).text


# ---- the probe ----


def probe(listen):
    """(status, seconds)"""
    began = time.monotonic()
    env = {**passed_on(), "ADMIN_LISTEN": listen}
    done = subprocess.run([binary("gateway", MODE), "--health"], env=env, capture_output=True, text=True, timeout=30)
    return done.returncode, time.monotonic() - began


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "[::]", "[::1]"])
def test_the_probe_finds_its_program(stack, tmp_path, host):
    listen = f"{host}:{free_port()}"
    env = {**passed_on(), "KAFKA_BOOTSTRAP_SERVERS": stack["kafka"]["bootstrap"], "ADMIN_LISTEN": listen}
    one = Process(binary("analytics-svc", MODE), env, tmp_path / "log", wait=False, listeners=["LISTEN"])
    try:
        deadline = time.monotonic() + 20
        while probe(listen)[0] != 0:
            assert one.child.poll() is None and time.monotonic() < deadline, one.text()
    finally:
        assert one.stop() == 0


def test_the_probe_says_no():
    nobody = f"127.0.0.1:{free_port()}"
    assert probe(nobody)[0] == 1
    with Upstream(always(reply(b"{}", "503 Service Unavailable"))) as unready:
        assert probe(f"127.0.0.1:{unready.port}")[0] == 1


def test_the_probe_does_not_wait_for_ever():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, seconds = probe(f"127.0.0.1:{silent.getsockname()[1]}")
    assert status == 1 and 1.5 < seconds < 6


# ---- what it says ----


def test_the_version_may_be_given(gateway):
    assert requests.get(f"{gateway.admin}/version", timeout=5).json() == {"service": "gateway", "version": "1.2.3"}
    assert 'shop_build_info{version="1.2.3"} 1' in metrics(gateway.admin)


def test_checks_of_readiness_are_metrics(gateway):
    assert gateway.metric("shop_ready") == 1
    assert gateway.metric("shop_check_ok", 'check="names"') == 1


def test_readiness_as_a_metric_while_kafka_is_away(tmp_path):
    env = {**passed_on(), "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    one = Process(binary("analytics-svc", MODE), env, tmp_path / "log", wait=False)
    try:
        deadline = time.monotonic() + 10
        while (text := _try_metrics(one)) is None:
            assert time.monotonic() < deadline
        assert 'shop_check_ok{check="results"} 0' in text and "shop_ready 0" in text
        first = one.metric("shop_analytics_age_seconds")
        time.sleep(1)
        assert one.metric("shop_analytics_age_seconds") >= first + 0.5
        assert one.metric("shop_analytics_last_result_timestamp_seconds") == 0
    finally:
        one.stop()


def _try_metrics(one):
    try:
        return metrics(one.admin)
    except requests.ConnectionError:
        return None


def test_the_process_series(gateway):
    text = metrics(gateway.admin)
    values = {m[1]: float(m[2]) for m in re.finditer(r"^(process_\w+) (\S+)$", text, re.M)}
    with open(f"/proc/{gateway.child.pid}/status", encoding="ascii") as status:
        rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024
    assert 0.5 < values["process_resident_memory_bytes"] / rss < 2
    assert values["process_virtual_memory_bytes"] >= values["process_resident_memory_bytes"]
    assert 0 < values["process_open_fds"] < values["process_max_fds"]
    assert abs(values["process_start_time_seconds"] - time.time()) < 60
    assert values["process_cpu_seconds_total"] >= 0 and values["process_major_faults_total"] >= 0


def test_the_end_of_certificates(tmp_path):
    authority = tls.make(tmp_path / "tls")["ca"]
    shown = subprocess.run(
        ["openssl", "x509", "-in", authority, "-noout", "-enddate", "-dateopt", "iso_8601"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    env = {**passed_on(), "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "KAFKA_SSL_CAFILE": authority}
    one = Process(binary("analytics-svc", MODE), env, tmp_path / "log", wait=False)
    try:
        deadline = time.monotonic() + 10
        while _try_metrics(one) is None:
            assert time.monotonic() < deadline
        label = 'setting="KAFKA_SSL_CAFILE"'
        seconds = one.metric("shop_certificate_expiry_timestamp_seconds", label)
        assert time.strftime("notAfter=%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds)) == shown.strip()
        with open(authority, "w", encoding="ascii"):
            pass  # the file is read anew each time
        assert one.metric("shop_certificate_expiry_timestamp_seconds", label) == 0
    finally:
        one.stop()


@pytest.mark.parametrize("program", programs.NAMES)
def test_metrics_are_as_prometheus_wants_them(stack, program):
    """Also with promtool, where it is installed."""
    text = metrics(stack.instances(program)[0]["admin"])
    names = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    assert names == set(re.findall(r"^# HELP (\S+) \S", text, re.M))
    samples = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"^([a-z_]+)[{ ]", text, re.M)}
    assert samples <= names | {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    assert 'shop_check_ok{check="' in text
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_answers_do_not_say_who_gave_them_unless_told_to(stack):
    assert "X-Served-By" not in stack.api("GET", "/api/products").headers


# ---- /readyz?wait= ----


class Named:
    name = "orders.shop.test"
    url = f"http://{name}:80"


@pytest.fixture
def unready(tmp_path):
    """A gateway that is not ready before its name server speaks."""
    with Dns() as dns:
        dns.mute, dns.names[Named.name] = True, ["127.0.0.1"]
        program = program_with_dns(binary("gateway", MODE), dns, tmp_path)
        with Gateway({"/x": Named}, program=program) as gw:
            yield gw, dns


def ready_after(gw, wait):
    """(status, seconds)"""
    began = time.monotonic()
    status = requests.get(f"{gw.admin}/readyz?wait={wait}", timeout=20).status_code
    return status, time.monotonic() - began


def test_a_question_that_waits_is_answered_when_it_is_ready(unready):
    gw, dns = unready
    status, seconds = ready_after(gw, 1)
    assert status == 503 and seconds >= 1
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ready_after, gw, 10)
        dns.mute = False
        status, seconds = asked.result()
    assert status == 200 and seconds < 10
    assert ready_after(gw, 10)[1] < 1


def test_who_ends_lets_nobody_wait(unready):
    gw, _ = unready
    host, _, port = gw.admin.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as asked:
        asked.sendall(b"GET /readyz?wait=10 HTTP/1.1\r\nHost: shop\r\n\r\n")
        metrics(gw.admin)  # asked later, so that one is there now
        gw.child.terminate()
        assert asked.recv(4096).startswith(b"HTTP/1.1 503 ")
    assert gw.child.wait(10) == 0


@pytest.mark.parametrize("wait", ["11", "-1", "soon"])
def test_a_wait_that_cannot_be(gateway, wait):
    answer = requests.get(f"{gateway.admin}/readyz?wait={wait}", timeout=5)
    assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "wait"
