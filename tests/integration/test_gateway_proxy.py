"""The gateway's data path against scripted upstreams: every byte on both sides is ours."""

import json
import os
import queue
import resource
import socket
import threading
import time

import pytest

from deaf import Deaf, queued_between
from gateway_rig import Conn, Gateway, Upstream, always, reply, until

OK = reply(b"ok")


@pytest.fixture
def rig():
    """rig(handler, **route) -> (gateway, upstream); both are stopped at the end."""
    parts = []

    def start(handler, env=None, **route):
        up = Upstream(handler)
        gw = Gateway({"/x": (up, route)}, **(env or {}))
        parts.extend([gw, up])
        return gw, up

    yield start
    failures = []
    for part in parts:
        try:
            part.stop() if isinstance(part, Gateway) else part.close()
        except AssertionError as error:
            failures.append(error)
    assert not failures


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seen_by_upstream(rig, request):
    """What the upstream received for this request."""
    seen = []

    def handler(conn, up):
        while True:
            line, fields = conn.head()
            seen.append((line, fields, conn.body(fields)))
            conn.send(OK)

    gw, _ = rig(handler)
    status, _, _ = gw.ask(request)
    assert status == 200
    return seen[0]


# ---- heads ----


def test_request_is_written_anew(rig):
    line, fields, body = seen_by_upstream(
        rig,
        "POST /./a/..//%78?q=%20a+b HTTP/1.1\r\nhost: shop.example\r\nConnection: close, X-Secret\r\n"
        "X-Secret: 1\r\nX-User-Id: 7\r\nX-FORWARDED-FOR: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX_Real: 1\r\n"
        "Upgrade: h2c\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy: x\r\nAccept: a\r\nAccept: b\r\n"
        "transfer-encoding:  chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nTrailer-Field: x\r\n\r\n",
    )
    names = [name for name, _ in fields]
    assert line == "POST /x?q=%20a+b HTTP/1.1"
    assert body == b"abc"
    assert [v for n, v in fields if n == "accept"] == ["a", "b"]
    assert dict(fields)["host"] == "shop.example"
    assert dict(fields)["x-forwarded-for"] == "127.0.0.1"
    assert dict(fields)["x-forwarded-proto"] == "http"
    assert names.count("transfer-encoding") == 1 and "content-length" not in names
    for gone in (
        "x-secret",
        "x-user-id",
        "forwarded",
        "x_real",
        "upgrade",
        "te",
        "keep-alive",
        "proxy",
        "trailer-field",
        "connection",
    ):
        assert gone not in names, gone


def test_ids_are_kept_when_well_formed(rig):
    gw, _ = rig(always(OK))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _, fields, _ = gw.get("/x", "X-Request-Id: abc-1", f"traceparent: {parent}")
    assert dict(fields)["x-request-id"] == "abc-1"
    assert dict(fields)["traceparent"] == parent
    _, fields, _ = gw.get("/x", "X-Request-Id: a b", "traceparent: 00-zz")
    assert len(dict(fields)["x-request-id"]) == 32
    assert dict(fields)["traceparent"] != "00-zz"
    lines = [line for line in gw.log_lines() if line["listener"] == "public"]
    assert lines[-2]["request_id"] == "abc-1"
    assert lines[-2]["trace_id"] == parent[3:35]


def test_answer_fields(rig):
    gw, _ = rig(
        always(
            reply(
                b"ok",
                extra="Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
                'Keep-Alive: timeout=5\r\nETag: "1"\r\n',
            )
        )
    )
    _, fields, body = gw.get("/x")
    assert [v for n, v in fields if n == "set-cookie"] == ["a=1", "b=2"]
    assert dict(fields)["etag"] == '"1"' and body == b"ok"
    assert not {"x-hop", "keep-alive", "connection"} & {n for n, _ in fields}


def test_methods(rig):
    gw, _ = rig(always(OK))
    status, fields, body = gw.ask("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, body) == (204, b"") and "GET" in dict(fields)["allow"]
    status, fields, _ = gw.ask("PATCH /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == 405 and "PUT" in dict(fields)["allow"]
    assert gw.get("/y")[0] == 404
    assert gw.get("/x/y")[0] == 404


def test_nul_in_a_head(rig):
    gw, _ = rig(always(OK))
    assert gw.ask("GET /x HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n")[0] == 400
    assert gw.ask("GET\0 /x HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 400


def test_head_has_no_body(rig):
    def handler(conn, up):
        while True:
            conn.head()
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")

    gw, up = rig(handler)
    conn = gw.connect()
    for _ in range(3):
        conn.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
        status, fields, _ = conn.response(head_only=True)
        assert status == 200 and dict(fields)["content-length"] == "500"
    assert up.n_conns == 1


def test_cors(rig):
    gw, _ = rig(always(OK), env={"CORS_ORIGINS": "https://a.example, https://b.example"})
    _, fields, _ = gw.get("/x", "Origin: https://b.example")
    assert dict(fields)["access-control-allow-origin"] == "https://b.example"
    _, fields, _ = gw.get("/x", "Origin: https://evil.example")
    assert "access-control-allow-origin" not in dict(fields)
    status, fields, _ = gw.ask(
        "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n" "Access-Control-Request-Method: POST\r\n\r\n"
    )
    assert status == 204 and "POST" in dict(fields)["access-control-allow-methods"]
    allowed = dict(fields)["access-control-allow-headers"].lower()
    assert {"authorization", "idempotency-key", "if-match", "if-none-match", "cache-control"} <= set(allowed.split(", "))
    shown = dict(gw.get("/x", "Origin: https://b.example")[1])["access-control-expose-headers"].lower()
    assert {"etag", "idempotency-replayed", "retry-after", "warning"} <= set(shown.split(", "))


# ---- bodies and their limits ----


def test_expect_continue(rig):
    gw, _ = rig(always(OK))
    conn = gw.connect()
    conn.send("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert conn.head()[0] == "HTTP/1.1 100 Continue"
    conn.send("abc")
    assert conn.response()[0] == 200


def test_no_100_continue_for_http_1_0(rig):
    gw, _ = rig(always(OK))
    conn = gw.connect()
    conn.send("POST /x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    time.sleep(0.2)
    conn.send("abc")
    assert " 200 " in conn.head()[0]


@pytest.mark.parametrize("framing, part", [("Content-Length: 900", "a"), ("Transfer-Encoding: chunked", "5\r\nab")])
def test_slow_senders_hold_no_upstream_connection(rig, framing, part):
    gw, up = rig(always(OK), env={"POOL_CONNS": "1"}, max_body=1000)
    slow = [gw.connect() for _ in range(5)]
    for conn in slow:
        conn.send(f"POST /x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{part}")
    time.sleep(0.2)
    assert gw.get("/x")[0] == 200
    assert up.n_conns == 1
    slow[0].send("a" * 899 if part == "a" else "cde\r\n0\r\n\r\n")
    assert slow[0].response()[0] == 200


def test_body_limit(rig):
    gw, up = rig(always(OK), max_body=1000)
    conn = gw.connect()
    conn.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
    assert conn.response()[0] == 413 and conn.closed()
    assert up.n_conns == 0
    conn = gw.connect()
    conn.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + "a" * 1000 + "\r\n")
    time.sleep(0.1)
    conn.send("1\r\na\r\n")
    assert conn.response()[0] == 413 and conn.closed()
    conn = gw.connect()
    conn.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + "a" * 1000)
    assert conn.response()[0] == 200


def test_large_bodies_both_ways_in_bounded_memory(rig):
    size = 200 << 20
    block = b"x" * 65536

    def handler(conn, up):
        _, fields = conn.head()
        left = size - len(conn.buf)
        while left > 0:
            left -= len(conn.sock.recv(1 << 20))
            if left % 64 == 0:
                time.sleep(0)  # slower than loopback at times
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // len(block)):
            conn.send(b"10000\r\n" + block + b"\r\n")
        conn.send(b"0\r\n\r\n")

    gw, _ = rig(handler, max_body=1 << 30)
    before = gw.rss_kb()
    conn = gw.connect()
    conn.send(f"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n")

    def feed():
        for _ in range(size // len(block)):
            conn.send(block)

    threading.Thread(target=feed, daemon=True).start()
    line, fields = conn.head()
    assert "200" in line and dict(fields)["transfer-encoding"] == "chunked"
    time.sleep(0.5)  # a reader that does not read: the gateway must not collect
    grown = gw.rss_kb() - before
    got = 0
    while True:
        n = int(conn.until(b"\r\n"), 16)
        conn.exactly(n)
        conn.until(b"\r\n")
        got += n
        if n == 0:
            break
    assert got == size
    assert max(grown, gw.rss_kb() - before) < 20000


def test_pipelining_in_order(rig):
    def handler(conn, up):
        while True:
            _, target, _, _ = conn.request()
            conn.send(reply(target.encode()))

    gw, _ = rig(handler)
    conn = gw.connect()
    conn.send(
        "".join(
            f"GET /x?{i} HTTP/1.1\r\nHost: a\r\n\r\n" if i % 3 else "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
            for i in range(200)
        )
    )
    for i in range(200):
        status, _, body = conn.response()
        assert (status, body) == (200, f"/x?{i}".encode()) if i % 3 else status == 404


def test_half_closed_client_gets_its_answer(rig):
    def handler(conn, up):
        conn.request()
        time.sleep(0.2)
        conn.send(OK)

    gw, _ = rig(handler)
    conn = gw.connect()
    conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    conn.sock.shutdown(1)
    assert conn.response()[0] == 200 and conn.closed()


# ---- streams ----


def test_server_sent_events_pass_at_once_and_cancel(rig):
    gone = threading.Event()

    def handler(conn, up):
        conn.request()
        conn.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(3):
            conn.send(f"b\r\ndata: {i:03}\n\n\r\n")
            time.sleep(0.1)
        try:
            conn.closed()
        finally:
            gone.set()

    gw, _ = rig(handler, stream=True)
    conn = gw.connect()
    conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    conn.head()
    start = time.time()
    conn.until(b"data: 000\n\n")
    assert time.time() - start < 0.09
    conn.until(b"data: 002\n\n")
    conn.close()
    assert gone.wait(2), "the upstream was not cancelled"


def test_streams_leave_connections_for_others(rig):
    def handler(conn, up):
        conn.request()
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n: x\r\n")
        conn.closed()

    gw, _ = rig(handler, env={"POOL_CONNS": "1"}, stream=True)
    conns = [gw.connect() for _ in range(3)]
    for conn in conns:
        conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert "200" in conn.head()[0]
    for conn in conns:
        conn.close()


def test_streams_end_when_draining(rig):
    def handler(conn, up):
        conn.request()
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n: x\r\n")
        conn.closed()

    gw, _ = rig(handler, stream=True)
    conn = gw.connect()
    conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    conn.until(b": x")
    gw.child.terminate()
    assert conn.rest() == b"\r\n0\r\n\r\n"
    gw.child.wait(timeout=3)


# ---- upstreams that misbehave ----

BAD = {
    "cl twice": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "cl and te": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "te gzip": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "negative cl": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "huge cl": "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "bare lf": "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "folded": "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "nul": "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
    "http/2": "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status 99": "HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n",
    "status 20x": "HTTP/1.1 20x Odd\r\nContent-Length: 0\r\n\r\n",
    "unasked 101": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "too many 1xx": "HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "head of 1 MB": "HTTP/1.1 200 OK\r\n" + "A: " + "b" * (1 << 20),
    "10000 fields": "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 10000 + "\r\n",
    "nothing": "",
    "half a head": "HTTP/1.1 200 OK\r\nConte",
}


@pytest.mark.parametrize("case", BAD, ids=[name.replace(" ", "-") for name in BAD])
def test_malformed_answer_is_502(rig, case):
    def handler(conn, up):
        conn.request()
        conn.send(BAD[case])

    gw, _ = rig(handler)
    status, fields, body = gw.get("/x")
    assert status == 502
    assert dict(fields)["content-type"] == "application/problem+json"
    assert b'"code":"bad_upstream"' in body


@pytest.mark.parametrize(
    "answer",
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
    ],
)
def test_cut_answer_is_not_completed(rig, answer):
    def handler(conn, up):
        conn.request()
        conn.send(answer)

    gw, _ = rig(handler)
    conn = gw.connect()
    conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    got = b""
    try:
        got = conn.rest()
    except ConnectionResetError:
        pass
    assert b"0\r\n\r\n" not in got
    assert got.count(b"HTTP/1.1") <= 1


def test_close_delimited_answer(rig):
    def handler(conn, up):
        conn.request()
        conn.send("HTTP/1.1 200 OK\r\n\r\nto the end")

    gw, _ = rig(handler)
    conn = gw.connect()
    for _ in range(2):
        conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert conn.response()[2] == b"to the end"
    conn.send("GET /x HTTP/1.0\r\nHost: a\r\n\r\n")
    line, fields = conn.head()
    assert "transfer-encoding" not in dict(fields)
    assert conn.rest() == b"to the end"


def test_bytes_behind_an_answer_reach_nobody(rig):
    def handler(conn, up):
        conn.request()
        conn.send(OK + reply(b"poison"))
        conn.closed()

    gw, up = rig(handler)
    for _ in range(3):
        assert gw.get("/x")[2] == b"ok"
    assert up.n_conns == 3


def test_late_bytes_on_an_idle_connection_reach_nobody(rig):
    def handler(conn, up):
        conn.request()
        conn.send(OK)
        time.sleep(0.1)
        conn.send(reply(b"poison"))
        conn.closed()

    gw, up = rig(handler)
    assert gw.get("/x")[2] == b"ok"
    time.sleep(0.3)
    assert gw.get("/x")[2] == b"ok"
    assert up.n_conns == 2


def test_early_hints_are_dropped(rig):
    gw, _ = rig(always(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK))
    conn = gw.connect()
    conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert "200" in conn.head()[0]


def test_answer_before_the_request_is_read(rig):
    def handler(conn, up):
        conn.head()
        conn.send(reply(b"no", "403 Forbidden", "Connection: close\r\n"))
        time.sleep(0.1)
        conn.reset()

    gw, _ = rig(handler, max_body=1 << 30)
    conn = gw.connect()
    conn.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + "a" * 100000)
    status, fields, body = conn.response()
    assert (status, body) == (403, b"no")
    assert dict(fields)["connection"] == "close"


def test_slow_upstream_is_504(rig):
    def handler(conn, up):
        conn.request()
        conn.closed()

    gw, _ = rig(handler, timeout_ms=300)
    start = time.time()
    status, _, body = gw.get("/x")
    assert status == 504 and b"upstream_timeout" in body
    assert time.time() - start < 1.5


def test_dead_upstream_is_503(rig):
    gw, up = rig(always(OK))
    up.stop_accepting()
    status, fields, body = gw.get("/x")
    assert status == 503 and dict(fields)["retry-after"] == "1"
    assert b'"code":"unavailable"' in body


def test_kept_connection_that_died_is_replaced(rig):
    """Closed exactly when the second request arrives: harmless ones are sent again."""

    def handler(conn, up):
        conn.request()
        conn.send(OK)
        conn.head()  # the next request is seen and not answered

    gw, up = rig(handler)
    assert gw.get("/x")[0] == 200
    assert gw.get("/x")[0] == 200
    status, _, _ = gw.ask("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert status == 200 and up.n_conns == 3
    status, _, _ = gw.ask("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert status == 502 and up.n_conns == 3
    assert gw.metric("shop_gateway_retries_total") == 2


class Heard:
    """An upstream for one connection at a time: a request is held until `answer` says what is to come of it; None: the
    connection is closed without a word."""

    def __init__(self):
        self.seen, self.answers = [], queue.Queue()

    def __call__(self, conn, up):
        while True:
            method, target, _, _ = conn.request()
            self.seen.append(f"{method} {target}")
            answer = self.answers.get(timeout=20)
            if answer is None:
                return
            conn.send(answer)

    def wait_for(self, *requests):
        until(lambda: self.seen == list(requests), what=f"{requests}, not {self.seen}")


def ask(gw, method, target="/x"):
    conn = gw.connect()
    conn.send(f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    return conn


def code_of(conn):
    status, fields, body = conn.response()
    return status, json.loads(body)["code"], dict(fields).get("retry-after")


@pytest.mark.parametrize(
    "method, said",
    [("PUT", (502, "bad_upstream", None)), ("DELETE", (502, "bad_upstream", None)), ("GET", (503, "unavailable", "1"))],
)
def test_what_may_have_been_done_is_not_called_undone_when_nobody_is_left(rig, method, said):
    heard = Heard()
    gw, up = rig(heard)
    heard.answers.put(OK)
    assert gw.get("/x")[0] == 200
    conn = ask(gw, method)
    heard.wait_for("GET /x", f"{method} /x")
    up.stop_accepting()
    heard.answers.put(None)
    assert code_of(conn) == said


@pytest.mark.parametrize("method, said", [("PUT", (502, "bad_upstream", None)), ("GET", (503, "overloaded", "1"))])
def test_what_may_have_been_done_is_not_called_undone_when_all_connections_are_in_use(rig, method, said):
    heard = Heard()
    gw, up = rig(heard, env={"POOL_CONNS": "1"})
    heard.answers.put(OK)
    assert gw.get("/x")[0] == 200
    conn = ask(gw, method)
    heard.wait_for("GET /x", f"{method} /x")
    other = ask(gw, "GET", "/x?other")
    until(lambda: gw.metric("shop_gateway_waiting") == 1)
    heard.answers.put(None)
    heard.wait_for("GET /x", f"{method} /x", "GET /x?other")
    assert code_of(conn) == said
    heard.answers.put(OK)
    assert other.response()[0] == 200


def test_the_second_try_has_its_own_time_to_wait(rig):
    """What waited for the first one counts for nothing, and a full queue keeps it out no more."""
    heard = Heard()
    gw, up = rig(heard, env={"POOL_CONNS": "1", "POOL_WAITING": "1"})
    first = ask(gw, "GET", "/x?first")
    heard.wait_for("GET /x?first")
    conn = ask(gw, "PUT")
    until(lambda: gw.metric("shop_gateway_waiting") == 1)
    waits = time.monotonic()
    heard.answers.put(OK)
    heard.wait_for("GET /x?first", "PUT /x")
    time.sleep(1.2 - (time.monotonic() - waits))  # more than it might have waited
    other = ask(gw, "GET", "/x?other")
    until(lambda: gw.metric("shop_gateway_waiting") == 1)
    heard.answers.put(None)
    heard.wait_for("GET /x?first", "PUT /x", "GET /x?other")
    time.sleep(0.3)  # some looks at the deadlines
    for _ in range(2):
        heard.answers.put(OK)
    assert [one.response()[0] for one in (first, other, conn)] == [200] * 3
    assert heard.seen[3:] == ["PUT /x"]


def test_second_endpoint_takes_over():
    with Upstream(always(reply(b"one"))) as one, Upstream(always(reply(b"two"))) as two:
        with Gateway({"/x": [one, two]}) as gw:
            assert {gw.get("/x")[2] for _ in range(40)} == {b"one", b"two"}
            one.close()
            assert {gw.get("/x")[2] for _ in range(40)} == {b"two"}


def test_a_lost_syn_decides_nothing():
    deaf = Deaf()
    with Gateway({"/x": deaf}) as gw:
        conn = gw.connect()
        conn.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        deaf.knocks(2)
        with Upstream(always(OK), listener=deaf.hear()):
            assert conn.response()[0] == 200


def test_an_endpoint_that_stays_deaf():
    deaf = Deaf()
    with Gateway({"/x": deaf}) as gw:
        status, _, body = gw.get("/x")
        assert status == 504 and b"upstream_timeout" in body
    deaf.close()


def test_unready_endpoint_gets_nothing():
    ready = {"a": True, "b": True}

    def admin(name):
        def handler(conn, up):
            while True:
                conn.request()
                conn.send(reply(b"{}", "200 OK" if ready[name] else "503 Service Unavailable"))

        return handler

    with (
        Upstream(always(reply(b"a"))) as a,
        Upstream(always(reply(b"b"))) as b,
        Upstream(admin("a")) as admin_a,
        Upstream(admin("b")) as admin_b,
    ):
        with Gateway({"/x": ([a, b], {"admin": [admin_a, admin_b]})}) as gw:
            time.sleep(0.3)
            assert {gw.get("/x")[2] for _ in range(40)} == {b"a", b"b"}
            ready["a"] = False
            time.sleep(0.8)
            assert {gw.get("/x")[2] for _ in range(40)} == {b"b"}
            ready["b"] = False
            time.sleep(0.8)
            assert gw.get("/x")[0] == 200


def changes(gw):
    """How ready the probed endpoints were found to be, in order."""
    return [line["ready"] for line in gw.log_lines("endpoint changed")]


@pytest.mark.parametrize("late", [1, 2])
def test_one_late_probe_is_not_a_stop(late):
    asked, again = [], threading.Event()

    def admin(conn, up):
        while True:
            conn.request()
            asked.append(up)
            if 2 < len(asked) <= 2 + late:
                return again.wait(20)  # its answer never comes
            conn.send(reply(b"{}"))

    with Upstream(always(OK)) as up, Upstream(admin) as probed, Gateway({"/x": (up, {"admin": [probed]})}) as gw:
        until(lambda: len(asked) > 5 + late)
        assert changes(gw) == ([True] if late == 1 else [True, False, True])
        again.set()


def test_who_says_that_he_is_not_ready_is_believed():
    asked = []

    def admin(conn, up):
        while True:
            conn.request()
            asked.append(up)
            conn.send(reply(b"{}", "503 Service Unavailable" if len(asked) == 3 else "200 OK"))

    with Upstream(always(OK)) as up, Upstream(admin) as probed, Gateway({"/x": (up, {"admin": [probed]})}) as gw:
        until(lambda: len(asked) > 5)
        assert changes(gw) == [True, False, True]


class ByName:
    def __init__(self, port):
        self.url = f"http://localhost:{port}"


def test_endpoint_by_name():
    with Upstream(always(OK)) as up, Gateway({"/x": ByName(up.port), "/y": ByName(1)}) as gw:
        deadline = time.time() + 3
        while gw.get("/x")[0] != 200:
            assert time.time() < deadline
            time.sleep(0.05)
        assert gw.get("/y")[0] == 503


# ---- who may call ----


def test_access():
    with Upstream(always(OK)) as up:
        with Gateway(
            {
                "/user": (up, {"who": ["user"]}),
                "/demo": (up, {"who": ["admin", "demo_anyone"]}),
                "/inside": (up, {"who": ["up0"], "listener": "internal"}),
            },
            AUTH_MODE="demo",
        ) as gw:
            secret = "Authorization: Service up0:0123456789abcdef-test-secret"
            assert gw.get("/user")[0] == 401
            assert gw.get("/demo")[0] == 200
            assert gw.get("/demo", "Authorization: Basic abc")[0] == 401
            assert gw.get("/inside")[0] == 404
            assert gw.get("/inside", internal=True)[0] == 401
            assert gw.get("/inside", secret, internal=True)[0] == 200
            assert gw.get("/inside", secret.replace("up0", "up1"), internal=True)[0] == 403
            assert gw.get("/inside", secret + "x", internal=True)[0] == 401
            assert gw.get("/demo", secret)[0] == 403
            assert gw.get("/demo", internal=True)[0] == 404


# ---- limits ----


def test_too_many_clients(rig):
    gw, _ = rig(always(OK), env={"MAX_CLIENTS": "8"})
    conns = [gw.connect() for _ in range(9)]
    time.sleep(0.2)
    status, fields, body = gw.connect().response()
    assert status == 503 and dict(fields)["retry-after"] == "1"
    assert dict(fields)["content-type"] == "application/problem+json"
    assert b'"code":"overloaded"' in body
    for conn in conns:
        conn.close()


def buffered(gw):
    return gw.metric("shop_gateway_buffered_bytes")


def slow_reader(gw):
    """Asks for more than the kernel keeps and takes none of them."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", gw.http))
    conn = Conn(sock)
    conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 12)
    return conn


def slow_sender(gw):
    conn = gw.connect()
    conn.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 60001\r\n\r\n" + "a" * 60000)
    return conn


@pytest.mark.parametrize("hog", [slow_reader, slow_sender])
def test_who_holds_more_than_his_share_makes_room(rig, hog):
    """Of all that the gateway may keep; newcomers are served, and who holds little stays."""
    gw, _ = rig(always(reply(b"x" * 400_000)), env={"BUFFER_KIB": "2048"})
    idle, hogs, most = gw.connect(), [], 0
    for _ in range(60):
        hogs.append(hog(gw))
        assert gw.get("/x")[0] == 200
        most = max(most, buffered(gw))
    assert gw.metric("shop_gateway_shed_total") > 0
    assert most < 3 << 20, most
    idle.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert idle.response()[0] == 200
    for conn in [idle, *hogs]:
        conn.close()
    until(lambda: buffered(gw) == 0, 10)


def test_waiting_has_one_deadline_and_finds_the_free_endpoint(rig):
    """Three endpoints with one connection each; two are stuck, the third serves all the others."""
    stuck = threading.Event()

    def handler(conn, up):
        while True:
            _, target, _, _ = conn.request()
            if "hang" in target:
                stuck.wait(5)
            conn.send(OK)

    ups = [Upstream(handler) for _ in range(3)]
    with Gateway({"/x": ups}, POOL_CONNS="1") as gw:
        hung = [gw.connect() for _ in range(2)]
        for conn in hung:
            conn.send("GET /x?hang HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.1)
        start = time.time()
        assert [gw.get("/x")[0] for _ in range(50)] == [200] * 50
        assert time.time() - start < 2
        stuck.set()
        for conn in hung:
            assert conn.response()[0] == 200
    for up in ups:
        up.close()


def test_no_descriptors_left(rig):
    """Waits quietly until there are some again."""
    gw, _ = rig(always(OK))
    assert gw.get("/x")[0] == 200
    used = len(os.listdir(f"/proc/{gw.child.pid}/fd"))
    resource.prlimit(gw.child.pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
    conns = [gw.connect() for _ in range(10)]
    before = cpu_seconds(gw.child.pid)
    time.sleep(1)
    assert cpu_seconds(gw.child.pid) - before < 0.3
    for conn in conns:
        conn.close()
    time.sleep(0.3)
    assert gw.get("/x")[0] == 200


# ---- the end ----


def ask_at_once(gw, count):
    """[(status, seconds)] of requests that all start together."""
    answers = []

    def ask():
        begin = time.time()
        status, fields, _ = gw.get("/x")
        assert status == 200 or dict(fields)["retry-after"] == "1"
        answers.append((status, time.time() - begin))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_overload_refuses_at_once_who_would_wait_too_long(rig):
    def handler(conn, up):
        while True:
            conn.request()
            time.sleep(0.03)
            conn.send(OK)

    gw, _ = rig(handler, env={"POOL_CONNS": "1", "POOL_WAIT_MS": "250"})
    # A first burst is taken whole: nobody knows yet how fast the service is.
    assert [status for status, _ in ask_at_once(gw, 20)] == [200] * 20
    answers = ask_at_once(gw, 60)
    served = [seconds for status, seconds in answers if status == 200]
    refused = [seconds for status, seconds in answers if status == 503]
    assert len(served) + len(refused) == 60
    assert 5 <= len(served) <= 20 and max(served) < 0.7
    assert max(refused) < 0.5
    assert gw.metric("shop_gateway_overloaded_total") == len(refused)
    assert gw.metric("shop_gateway_waiting") == 0
    # As good as new at once.
    assert [status for status, _ in ask_at_once(gw, 5)] == [200] * 5


def answers_after(event):
    def handler(conn, up):
        conn.request()
        event.wait(10)
        conn.send(OK)

    return handler


def test_refusals_come_before_anything_that_costs(rig):
    """Before the token is judged; a body that is there whole is dropped, and the connection goes on."""
    stuck = threading.Event()
    gw, _ = rig(answers_after(stuck), env={"POOL_CONNS": "1", "POOL_WAITING": "0"})
    first, conn = gw.connect(), gw.connect()
    first.send("GET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
    until(lambda: gw.metric("shop_gateway_connections") >= 2 and gw.get("/x")[0] == 503)
    head = "POST /x HTTP/1.1\r\nHost: shop\r\nAuthorization: Nonsense\r\nContent-Length: 5\r\n\r\n"
    conn.send((head + "12345") * 3)
    for _ in range(3):
        status, fields, text = conn.response()
        fields = dict(fields)
        assert status == 503 and fields["retry-after"] == "1" and b'"overloaded"' in text and "connection" not in fields
    assert gw.metric("shop_auth_checks_total", 'result="refused"') == 0
    conn.send(head)
    assert conn.response()[0] == 401, "what is not there yet is read like any other"
    stuck.set()
    assert first.response()[0] == 200
    assert gw.get("/x")[0] == 200
    first.close()
    conn.close()


def is_refused_before_the_token_is_judged(gw):
    """Once the service has no connection left; who is not refused so gets 401."""
    asked = gw.metric("shop_auth_checks_total", 'result="refused"')
    status, fields, text = gw.get("/x", "Authorization: Nonsense")
    assert status == 401 or (status == 503 and dict(fields)["retry-after"] == "1" and b'"overloaded"' in text)
    assert gw.metric("shop_auth_checks_total", 'result="refused"') == asked + (status == 401)
    return status == 503


def test_a_name_is_as_full_as_the_addresses_it_has():
    """It has room for many more."""
    stuck = threading.Event()

    with Upstream(answers_after(stuck)) as up, Gateway({"/x": ByName(up.port)}, POOL_CONNS="1", POOL_WAITING="0") as gw:
        assert not is_refused_before_the_token_is_judged(gw), "it may not be found yet"
        first = gw.connect()
        until(lambda: gw.get("/x", "Authorization: Nonsense")[0] == 401 and gw.log_lines("endpoint found"))
        first.send("GET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
        until(lambda: up.n_conns == 1)
        assert is_refused_before_the_token_is_judged(gw)
        stuck.set()
        assert first.response()[0] == 200
        assert not is_refused_before_the_token_is_judged(gw)


def test_an_endpoint_that_nobody_would_be_sent_to_is_no_room():
    stuck = threading.Event()

    def admin(status):
        return Upstream(always(reply(b"{}", status)))

    with (
        Upstream(answers_after(stuck)) as full,
        Upstream(always(OK)) as unready,
        admin("200 OK") as yes,
        admin("503 Service Unavailable") as no,
        Gateway({"/x": ([full, unready], {"admin": [yes, no]})}, POOL_CONNS="1", POOL_WAITING="0") as gw,
    ):
        until(lambda: len(changes(gw)) == 2)
        first = gw.connect()
        first.send("GET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
        until(lambda: full.n_conns == 1)
        assert is_refused_before_the_token_is_judged(gw)
        stuck.set()
        assert first.response()[0] == 200
        assert unready.n_conns == 0


def test_our_own_services_go_first(rig):
    order = []

    def handler(conn, up):
        while True:
            order.append(conn.request()[1])
            time.sleep(0.1)
            conn.send(OK)

    with Upstream(handler) as up:
        table = {"path": "/i", "methods": ["GET"], "who": ["anyone"], "upstream": "up0", "listener": "internal"}
        with Gateway({"/x": up}, more_routes=[table], POOL_CONNS="1") as gw:
            conns = [gw.connect() for _ in range(4)] + [gw.connect(internal=True)]
            for conn, path in zip(conns, ["/x?1", "/x?2", "/x?3", "/x?4", "/i"]):
                conn.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
                time.sleep(0.01)
            assert [conn.response()[0] for conn in conns] == [200] * 5
    assert order == ["/x?1", "/i", "/x?2", "/x?3", "/x?4"]


def test_every_request_has_its_log_line(rig):
    """Lines are written together under load, and the last ones at the end."""
    gw, _ = rig(always(OK))
    conn = gw.connect()
    conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 300)
    for _ in range(300):
        assert conn.response()[0] == 200
    gw.child.terminate()
    gw.child.wait(timeout=5)
    lines = [line for line in gw.log_lines() if line["listener"] == "public"]
    assert len({line["request_id"] for line in lines}) == len(lines) == 300


def test_drain_answers_those_who_were_about_to_ask(rig):
    gw, _ = rig(always(OK))
    kept, silent = gw.connect(), gw.connect()
    kept.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert kept.response()[0] == 200
    gw.child.terminate()
    time.sleep(0.2)
    for conn in (kept, silent):
        conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        status, fields, _ = conn.response()
        assert status == 200 and dict(fields)["connection"] == "close"
    gw.child.wait(timeout=5)


def test_drain_finishes_what_is_in_flight(rig):
    def handler(conn, up):
        conn.request()
        time.sleep(0.6)
        conn.send(OK)

    gw, _ = rig(handler, env={"threads": 2})
    idle = gw.connect()
    conn = gw.connect()
    conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    time.sleep(0.2)
    gw.child.terminate()
    status, fields, _ = conn.response()
    assert status == 200 and dict(fields)["connection"] == "close"
    assert idle.closed()
    start = time.time()
    gw.child.wait(timeout=5)
    assert time.time() - start < 3


class Slow:
    """An answer whose end waits in the gateway for a client that does not read yet."""

    def __init__(self, rig):
        self.sent, self.port, self.end, self.full = 0, 0, threading.Event(), threading.Event()
        self.gw, self.up = rig(self._handler)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", self.gw.http))
        self.conn, self.port = Conn(sock), sock.getsockname()[1]
        self.conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert self.full.wait(60)

    def _handler(self, conn, up):
        conn.request()
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while self._in_kernels() + 65536 > self.sent:
            conn.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            self.sent += 65536
            time.sleep(0.01)
        self.full.set()
        self.end.wait(10)
        conn.send("0\r\n\r\n")
        always(OK)(conn, up)

    def _in_kernels(self):
        """Bytes of the answer that have left the gateway."""
        ends = queued_between(self.gw.http, self.port)
        return ends[self.gw.http][0] + ends[self.port][1]

    def answered(self):
        self.end.set()
        until(lambda: any(line["path"] == "/x" for line in self.gw.log_lines()))


@pytest.mark.parametrize("ends", ["before", "after"])
@pytest.mark.parametrize("again", [False, True])
def test_drain_waits_for_a_slow_reader(rig, ends, again):
    """Until it has its answer, and then for what it may be about to ask."""
    slow = Slow(rig)
    if ends == "before":
        slow.answered()
    slow.gw.child.terminate()
    time.sleep(0.3)
    slow.answered()
    time.sleep(1.5)
    if again:
        slow.conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    assert len(slow.conn.response()[2]) == slow.sent
    if again:
        status, fields, _ = slow.conn.response()
        assert status == 200 and dict(fields)["connection"] == "close"
    assert slow.conn.closed()
    slow.gw.child.wait(timeout=5)


def test_clients_that_vanish(rig):
    def handler(conn, up):
        while True:
            conn.request()
            conn.send(reply(b"x" * 300000))

    gw, _ = rig(handler, env={"threads": 2})
    for i in range(200):
        conn = gw.connect()
        conn.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"[: 5 + i])
        if i % 2:
            conn.reset()
        else:
            conn.close()
    time.sleep(0.5)
    assert gw.get("/x")[0] == 200
    assert gw.metric("shop_gateway_connections") < 10
