"""analytics-svc by itself, on a results topic of its own that this file writes."""

import contextlib
import json
import os
import resource
import secrets
import signal
import socket
import time

import kafka_proxy
import pytest
import requests
from alone import Process, topic
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from shop_stack import until

PARTITIONS = 3
KINDS = ["summary", "top-users", "window"]


class Analytics:
    """One process, and the producer of its topic."""

    def __init__(self, stack, folder):
        self.stack, self.folder, self.process = stack, folder, None
        self.topic = f"results-{secrets.token_hex(4)}"
        self.kafka = AdminClient({"bootstrap.servers": stack["kafka"]["bootstrap"]})
        topic(self.kafka, self.topic, PARTITIONS, {"cleanup.policy": "compact"})
        self.producer = Producer({"bootstrap.servers": stack["kafka"]["bootstrap"], "linger.ms": 1})

    def start(self, wait=True, **settings):
        env = {k: v for k, v in self.stack.env("analytics-svc").items() if k not in ("LISTEN", "ADMIN_LISTEN")}
        env |= {"DRAIN_WAIT_MS": "10", "DRAIN_MAX_MS": "1000", "RESULTS_TOPIC": self.topic}
        env |= {name: str(value) for name, value in settings.items()}
        self.process = Process(self.stack.binary("analytics-svc"), env, self.folder / "analytics.log", wait=False)
        until(lambda: self.status("/healthz", self.process.admin) == 200, 20, "a listener")
        if wait:
            until(self.process.ready, 20, "readiness")
        return self

    def stop(self):
        assert self.process.stop() == 0, self.process.text()[-2000:]
        self.process = None

    def close(self):
        if self.process:
            self.stop()
        with contextlib.suppress(Exception):
            self.kafka.delete_topics([self.topic])[self.topic].result(20)

    def status(self, path, base=None, **more):
        with contextlib.suppress(requests.RequestException):
            return requests.get((base or self.process.url) + path, timeout=5, **more).status_code
        return None

    def ready(self):
        return self.process.ready()

    @property
    def port(self):
        return self.process.ports["LISTEN"]

    def get(self, path, **more):
        answer = requests.get(f"{self.process.url}/api/analytics/{path}", timeout=5, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def metric(self, name):
        return self.process.metric(name)

    # ---- records ----

    def put(self, key, value, partition=0, producer=None):
        text = None if value is None else json.dumps(value)
        (self.producer if producer is None else producer).produce(self.topic, key=key, value=text, partition=partition)

    def user(self, number, orders=1, spent=1.0, v=1, at="2025-11-24T21:13:22.500Z", **more):
        value = {"v": v, "user_id": number, "orders": orders, "spent": spent, "last_order_at": at,
                 "seq": v, "seen": "0" * 16, "window": 0}  # fmt: skip
        self.put(f"u:{number}", value, number % PARTITIONS, **more)

    def window(self, start, partition=0, v=1, orders=1, revenue=1.0, cancelled=0, refunded=0.0, users=1, final=False):
        value = {"v": v, "start": start, "partition": partition, "orders": orders, "revenue": revenue,
                 "cancelled": cancelled, "refunded": refunded, "users": users, "final": final}  # fmt: skip
        self.put(f"w:{start}:{partition}", value, partition)

    def totals(self, partition=0, v=1, **more):
        value = {"v": v, "partition": partition, "next": v, "watermark": 0}
        for kind in ("late", "folded"):
            value |= {f"{kind}_orders": 0, f"{kind}_revenue": 0.0, f"{kind}_cancelled": 0, f"{kind}_refunded": 0.0}
        self.put(f"p:{partition}", value | more, partition)

    def flush(self):
        assert self.producer.flush(20) == 0


@pytest.fixture
def analytics(stack, tmp_path):
    one = Analytics(stack, tmp_path)
    yield one
    one.close()


def minutes_ago(n):
    return int(time.time()) // 60 * 60 - 60 * n


def iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def test_answers(analytics):
    analytics.user(1, 2, 10000.01)
    analytics.user(2, 3, 10000.00)
    analytics.user(3, 4, 5000.01)
    analytics.user(4, 1, 5000.00)
    analytics.user(5, 0, 0.00, at=None)
    analytics.user(6, 3, 100.00)
    minute = minutes_ago(3)
    analytics.window(minute, 0, orders=2, revenue=30.10, users=1, final=True)
    analytics.window(minute, 1, orders=1, revenue=0.20, cancelled=1, refunded=9.99, users=1)
    analytics.window(minutes_ago(1), 2, final=True)
    analytics.window(minutes_ago(90), 2, revenue=5.0)
    analytics.totals(2, late_orders=1, late_revenue=2.5, folded_orders=7, folded_revenue=70.0)
    analytics.flush()
    analytics.start()
    top = analytics.get("flink/top-users", params={"limit": 3})
    assert top["top_users"][0] == {
        "user_id": 1, "total_orders": 2, "total_spent": 10000.01, "average_order_value": 5000.01,
        "customer_tier": "VIP", "last_order_at": "2025-11-24T21:13:22Z",
    }  # fmt: skip
    tiers = {u["user_id"]: u["customer_tier"] for u in analytics.get("flink/top-users")["top_users"]}
    # Limits belong to the tier below; users without orders are in no list.
    assert list(tiers.items()) == [(1, "VIP"), (2, "Premium"), (3, "Premium"), (4, "Regular"), (6, "Regular")]
    assert analytics.get("users/6")["average_order_value"] == 33.33
    nobody = analytics.get("users/5")
    assert (nobody["total_orders"], nobody["average_order_value"], nobody["last_order_at"]) == (0, 0, None)
    assert analytics.get("users/404")["customer_tier"] == "Regular"
    windows = analytics.get("windows")["windows"]
    assert [w["start"] for w in windows] == [iso(minutes_ago(1)), iso(minute)]
    assert windows[1] == {
        "start": iso(minute), "end": iso(minute + 60), "orders": 3, "revenue": 30.30, "cancelled": 1,
        "refunded": 9.99, "users": 2, "final": False,
    }  # fmt: skip
    assert len(analytics.get("windows", params={"minutes": 2})["windows"]) == 1
    summary = analytics.get("summary")
    assert (summary["total_orders"], summary["total_revenue"], summary["users_complete"]) == (13, 30100.02, True)
    assert summary["by_window"] == {"orders": 13, "revenue": 108.80, "cancelled": 1, "refunded": 9.99}
    assert summary["late"] == {"orders": 1, "revenue": 2.5, "cancelled": 0, "refunded": 0}
    for path in ("flink/top-users?limit=0", "flink/top-users?limit=x", "users/0", "users/x", "windows?minutes=0"):
        assert analytics.status(f"/api/analytics/{path}") == 400, path


def test_follows_changes_and_folds(analytics):
    minute = minutes_ago(5)
    analytics.start()
    analytics.user(1, 1, 10.0)
    analytics.window(minute, 1, revenue=10.0)
    analytics.flush()
    until(lambda: analytics.get("summary")["by_window"]["revenue"] == 10.0)
    analytics.totals(1, folded_orders=1, folded_revenue=10.0)
    analytics.put(f"w:{minute}:1", None, 1)
    analytics.user(1, 0, 0.0, v=2)
    analytics.flush()
    until(lambda: analytics.get("users/1")["total_orders"] == 0)
    until(lambda: analytics.get("windows")["windows"] == [])
    assert analytics.get("summary")["by_window"]["revenue"] == 10.0
    assert analytics.metric("shop_analytics_version_regressions_total") == 0
    # Records count in the order of offsets; a version that goes back is seen by an operator.
    analytics.user(1, 5, 50.0, v=1)
    analytics.flush()
    until(lambda: analytics.get("users/1")["total_orders"] == 5)
    assert analytics.metric("shop_analytics_version_regressions_total") == 1
    analytics.put("u:9", {"v": "x"})
    analytics.put("x:9", {})
    analytics.flush()
    until(lambda: analytics.metric("shop_analytics_bad_results_total") == 1)
    until(lambda: analytics.metric("shop_analytics_unknown_results_total") == 1)


def test_what_was_read_back_is_no_burden(analytics):
    """A start takes all records in as fast as they come; what remains of that is what they say."""
    if analytics.stack["mode"] in ("asan", "tsan"):
        pytest.skip("a sanitizer keeps what was freed")
    for v in range(1, 60_001):
        analytics.user(1 + v % 30, v=v)
        if v % 10_000 == 0:
            analytics.flush()
    analytics.start()
    until(lambda: analytics.metric("shop_analytics_users") == 30)
    assert analytics.process.rss_kb() < 18_000


def test_not_ready_before_the_end_that_it_saw(analytics):
    """A transaction that is open at the end hides records that were there at the start."""
    writer = analytics.stack.kafka_producer(transactional_id=analytics.topic)
    writer.init_transactions(20)
    analytics.user(1, 1, 10.0)
    analytics.flush()
    writer.begin_transaction()
    analytics.user(1, 2, 20.0, v=2, producer=writer)
    assert writer.flush(20) == 0
    analytics.start(wait=False)
    time.sleep(3)
    assert not analytics.ready()
    assert analytics.status("/api/analytics/summary") == 503
    writer.commit_transaction(20)
    until(analytics.ready)
    assert analytics.get("users/1")["total_orders"] == 2
    # The same with one that comes to nothing.
    analytics.stop()
    writer.begin_transaction()
    analytics.user(1, 3, 30.0, v=3, producer=writer)
    assert writer.flush(20) == 0
    analytics.start(wait=False)
    time.sleep(2)
    assert not analytics.ready()
    writer.abort_transaction(20)
    until(analytics.ready)
    assert analytics.get("users/1")["total_orders"] == 2


def test_memory_is_bounded(analytics):
    for number in range(1, 61):
        analytics.user(number, 1, number / 4)
        analytics.window(minutes_ago(number % 7), number % PARTITIONS, v=number, orders=60, revenue=457.5)
    analytics.flush()
    analytics.start(MAX_USERS=50)
    summary = analytics.get("summary")
    assert not summary["users_complete"] and summary["total_users"] <= 50
    assert analytics.get("flink/top-users")["top_users"][0]["user_id"] == 60
    assert summary["total_orders"] == summary["by_window"]["orders"] > 0
    # Of who was forgotten nothing is known, so also not of who never came.
    for number in (1, 1000):
        answer = requests.get(f"{analytics.process.url}/api/analytics/users/{number}", timeout=5)
        assert (answer.status_code, answer.json()["code"]) == (404, "user_not_kept"), answer.text
    assert analytics.get("users/60")["total_spent"] == 15.0
    # Who was forgotten is right again with the next order.
    analytics.user(1, 2, 1000.0, v=2)
    analytics.flush()
    until(lambda: analytics.get("flink/top-users")["top_users"][0]["user_id"] == 1)


def test_windows_beyond_the_limit_are_told(analytics):
    """They are in no sum of windows, so who looks at those has to know."""
    for minute in range(1, 14 * 24 * 60 + 2):
        analytics.window(minute * 60)
        if minute % 5000 == 0:
            analytics.flush()
    analytics.flush()
    analytics.start()
    until(lambda: analytics.metric("shop_analytics_windows_dropped") == 1)


def test_stays_ready_without_kafka(analytics):
    analytics.user(1)
    analytics.flush()
    analytics.start()
    first = analytics.get("users/1")["as_of"]
    until(lambda: analytics.get("users/1")["as_of"] > first)
    kafka = analytics.stack["services"]["kafka"][0]["pid"]
    os.kill(kafka, signal.SIGSTOP)
    try:
        time.sleep(8)
        stale = analytics.get("users/1")["as_of"]
        time.sleep(1)
        assert analytics.ready()
        answer = analytics.get("users/1")
        assert (answer["total_orders"], answer["as_of"]) == (1, stale)
    finally:
        os.kill(kafka, signal.SIGCONT)
    until(lambda: analytics.get("users/1")["as_of"] > stale, 30)


def test_a_leader_that_does_not_answer_is_no_current_data(analytics, proxy):
    """Other brokers may know of the topic; where a partition ends only its leader does."""
    analytics.user(1)
    analytics.flush()
    analytics.start(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{proxy.port}")
    proxy.drop(kafka_proxy.LIST_OFFSETS, 1_000_000)
    until(lambda: proxy.done("drop", kafka_proxy.LIST_OFFSETS) > 1)
    until(lambda: analytics.metric("shop_analytics_age_seconds") > 3, 30)
    stale = analytics.get("users/1")["as_of"]
    for orders in range(2, 32):  # time for another question to the brokers
        analytics.user(1, orders, v=orders)  # a partition that is read to its end says nothing of the others
        analytics.flush()
        assert analytics.get("users/1")["as_of"] == stale
        time.sleep(0.2)
    until(lambda: analytics.get("users/1")["total_orders"] == 31)
    assert analytics.get("users/1")["as_of"] == stale
    proxy.drop(kafka_proxy.LIST_OFFSETS, 0)
    until(lambda: analytics.get("users/1")["as_of"] > stale, 30)


# ---- the stream ----


class Stream:
    """A client of the stream on a plain socket."""

    def __init__(self, analytics, buffer=0, token=None):
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", analytics.port))
        who = f"Authorization: Bearer {token}\r\n" if token else ""
        self.socket.sendall(f"GET /api/analytics/stream HTTP/1.0\r\nHost: localhost\r\n{who}\r\n".encode())
        self.text = b""

    def head(self):
        while b"\r\n\r\n" not in self.text:
            self.text += self.socket.recv(4096)
        head, self.text = self.text.split(b"\r\n\r\n", 1)
        return head.decode()

    def event(self):
        """(name, data) of the next event."""
        while b"\n\n" not in self.text:
            more = self.socket.recv(65536)
            assert more, "the stream ended"
            self.text += more
        block, self.text = self.text.split(b"\n\n", 1)
        if block.startswith(b":"):
            return self.event()
        lines = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        return lines["event"], json.loads(lines["data"])


def test_stream_sends_snapshots_and_changes(analytics):
    analytics.user(1, 1, 10.0)
    analytics.flush()
    analytics.start(MAX_STREAMS=2)
    stream = Stream(analytics)
    head = stream.head()
    assert head.startswith("HTTP/1.1 200 ") and "text/event-stream" in head and "no-store" in head
    first = dict(stream.event() for _ in KINDS)
    assert list(first) == KINDS
    assert first["summary"]["total_orders"] == 1
    analytics.user(1, 2, 20.0, v=2)
    analytics.flush()
    while True:
        name, data = stream.event()
        if name == "top-users" and data["top_users"][0]["total_orders"] == 2:
            break
    second = Stream(analytics)
    assert [second.event()[0] for _ in KINDS if second.text or second.head()] == KINDS
    third = Stream(analytics)
    assert " 503 " in third.head()
    second.socket.close()
    until(lambda: analytics.metric("shop_stream_clients") == 1)
    analytics.stop()
    with pytest.raises(AssertionError, match="the stream ended"):
        while True:
            stream.event()


def test_streams_leave_room_for_questions(analytics):
    """The limit of streams counts, not one of connections that is below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    streams = []
    try:
        analytics.start(MAX_STREAMS=1100)
        for _ in range(1030):
            streams.append(Stream(analytics))
        for stream in streams:
            assert " 200 " in stream.head()
        assert analytics.status("/api/analytics/summary") == 200
    finally:
        for stream in streams:
            stream.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def short_token(stack, folder):
    """An administrator's, of a user-svc whose tokens are good for four seconds."""
    env = {k: v for k, v in stack.env("user-svc").items() if k not in ("LISTEN", "ADMIN_LISTEN")}
    login = {name: stack["logins"]["admin"][name] for name in ("email", "password")}
    user_svc = Process(stack.binary("user-svc"), env | {"TOKEN_TTL_S": "4"}, folder / "user.log")
    try:
        return requests.post(f"{user_svc.url}/api/auth/login", json=login, timeout=5).json()["access_token"]
    finally:
        assert user_svc.stop() == 0


def test_a_stream_lives_no_longer_than_the_token(analytics, stack, tmp_path):
    """Who is no administrator any more gets no more figures than a new request would."""
    analytics.user(1)
    analytics.flush()
    analytics.start(AUTH_MODE="required")
    until(lambda: analytics.status("/api/analytics/summary") == 401)
    token = short_token(stack, tmp_path)
    stream, free = Stream(analytics, token=token), Stream(analytics, token=stack.login("admin"))
    assert " 200 " in stream.head() and " 200 " in free.head()
    headers = {"Authorization": f"Bearer {token}"}
    until(lambda: analytics.status("/api/analytics/summary", headers=headers) == 401, 20)
    for client in (stream, free):
        assert [client.event()[0] for _ in KINDS] == KINDS
    analytics.user(1, 2, v=2)
    analytics.flush()
    with pytest.raises(AssertionError, match="the stream ended"):
        stream.event()
    assert free.event()[0] in KINDS
    until(lambda: analytics.metric("shop_stream_clients") == 1)
    assert analytics.metric("shop_stream_dropped_total") == 0


def test_no_stream_begins_once_it_stops(analytics):
    """Its clients come again at once, some of them on a connection that is still there."""
    analytics.start(DRAIN_MAX_MS=8000)
    kept = socket.create_connection(("127.0.0.1", analytics.port), 10)
    try:
        kept.sendall(b"GET /api/analytics/summary HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in kept.recv(65536)
        analytics.process.child.terminate()
        until(lambda: '"msg":"draining"' in analytics.process.text())
        kept.sendall(b"GET /api/analytics/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 503 " in kept.recv(65536)
    finally:
        kept.close()
    assert analytics.process.child.wait(20) == 0
    assert "drain time is over" not in analytics.process.text()


def test_slow_client_is_dropped(analytics):
    for number in range(1, 31):
        analytics.user(number, 1, number)
    analytics.flush()
    analytics.start()
    slow, quick = Stream(analytics, 4096), Stream(analytics)
    slow.head()
    quick.head()
    until(lambda: analytics.metric("shop_stream_clients") == 2)
    deadline = time.monotonic() + 60
    version = 1
    while analytics.metric("shop_stream_dropped_total") == 0:
        assert time.monotonic() < deadline, "the slow client is still there"
        version += 1
        for number in range(1, 31):
            analytics.user(number, version, number, v=version)
        analytics.flush()
        while quick.event()[0] != "top-users":
            pass
    until(lambda: analytics.metric("shop_stream_clients") == 1, 45, "the end of its connection")
    analytics.user(31)
    analytics.flush()
    assert quick.event()
    assert analytics.metric("shop_stream_dropped_total") == 1


def test_s25_killed_in_the_middle(analytics):
    """It owns nothing, so a new one that reads the results answers the same."""
    analytics.start()
    for version in range(1, 41):
        for number in range(1, 201):
            analytics.user(number, version, 2.0 * version, v=version)
        analytics.producer.poll(0)
        if version == 20:
            until(lambda: analytics.get("summary")["total_orders"] > 0)
            analytics.process.kill()
    analytics.flush()
    analytics.start()
    summary = analytics.get("summary")
    assert (summary["total_orders"], summary["total_revenue"]) == (200 * 40, 200 * 80.0)
    assert {user["total_orders"] for user in analytics.get("flink/top-users")["top_users"]} == {40}
