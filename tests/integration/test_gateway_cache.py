"""What the gateway keeps of answers: for how long, who gets it, and what a write does to it."""

import contextlib
import socket
import threading
import time

import pytest

from gateway_rig import Gateway, Upstream, reply, until

LONG_MS = 60000  # longer than any test
HIT = 'result="hit"'
SHARED = 'result="shared"'
MISS = 'result="miss"'


class Shop:
    """An upstream that counts: each answer to a GET says the how-manieth it is."""

    def __init__(self, extra="Cache-Control: no-cache\r\n", etag=None, status="200 OK", pad=b""):
        self.extra, self.etag, self.status, self.pad = extra, etag, status, pad
        self.lock = threading.Lock()
        self.n = 0
        self.seen = []
        self.hold = threading.Event()  # cleared: GETs wait
        self.hold.set()

    def __call__(self, conn, up):
        while True:
            method, target, fields, body = conn.request()
            with self.lock:
                self.seen.append((method, target, dict(fields)))
                if method == "GET":
                    self.n += 1
                n = self.n
            if method == "GET":
                self.hold.wait(10)
                tag = self.etag or f'"{n}"'
                conn.send(reply(b"%d" % n + self.pad, self.status, f"ETag: {tag}\r\n{self.extra}"))
            elif method == "HEAD":
                conn.send(f'HTTP/1.1 200 OK\r\nContent-Length: 7\r\nETag: "{n}"\r\n\r\n')
            else:
                conn.send(reply(b"", target.rpartition("?")[2] + " Told" if "?" in target else "200 OK"))


@pytest.fixture
def rig():
    """rig(shop, cache_ms) -> gateway: GET /p/:id is kept, the same path takes writes; all is stopped at the end."""
    parts = contextlib.ExitStack()

    def start(shop, cache_ms=LONG_MS, more=(), handler=None, **env):
        up = Upstream(handler or shop)
        writes = {"path": "/p/:id", "methods": ["PUT", "POST", "DELETE"], "who": ["anyone"], "upstream": "up0"}
        below = {**writes, "path": "/p/:id/stock"}
        gw = Gateway({"/p/:id": (up, {"methods": ["GET"], "cache_ms": cache_ms})}, more_routes=[writes, below, *more], **env)
        parts.callback(up.close)
        parts.callback(gw.stop)
        shop.up = up
        return gw

    with parts:
        yield start


def cached(gw, label):
    return gw.metric("shop_gateway_cache_requests_total", label)


def waiting(gw):
    return gw.metric("shop_gateway_cache_waiting")


class Late(Exception):
    """The machine stood still: whoever shares a fetch may have given up waiting for it."""


def in_time(sent):
    """A story in which requests that were sent then still share a fetch, for they do so for a second."""
    if time.monotonic() - sent > 0.9:
        raise Late


def unless_late(story):
    """From the beginning again when it took too long, with a gateway of its own each time."""
    for more in range(7, -1, -1):
        try:
            return story()
        except Late:
            if not more:
                raise


def wait_for_another(gw, count, sent):
    def there():
        in_time(sent)
        return waiting(gw) == count

    until(there, what=f"{count} that wait")


def body(gw, path, *lines):
    status, _, text = gw.get(path, *lines)
    assert status == 200
    return text


def send(gw, method, path, *lines):
    head = "".join(f"{line}\r\n" for line in lines)
    return gw.ask(f"{method} {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n{head}\r\n")


def ask_together(gw, n, path="/p/1"):
    conns = [gw.connect() for _ in range(n)]
    for conn in conns:
        conn.send(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n")
    return conns


def test_is_answered_again(rig):
    shop = Shop()
    gw = rig(shop)
    begun = time.monotonic()
    first, again = gw.get("/p/1"), gw.get("/p/1", "X-Request-Id: mine")
    assert first[0] == again[0] == 200 and again[2] == b"1" and shop.n == 1
    mine, theirs = dict(again[1]), dict(first[1])
    assert 0 <= int(mine["age"]) <= time.monotonic() - begun and "age" not in theirs
    assert mine["x-request-id"] == "mine" != theirs["x-request-id"]
    assert mine["traceparent"] != theirs["traceparent"]
    for name in ("etag", "cache-control", "content-length"):
        assert mine[name] == theirs[name]
    assert body(gw, "/p/2") == b"2" and body(gw, "/p/1?q=1") == b"3" and body(gw, "/p/1?q=1") == b"3"
    assert gw.ask("GET /p/1 HTTP/1.1\r\nHost: other\r\n\r\n")[2] == b"4", "for each host"
    assert body(gw, "/p/%31") == b"1" and body(gw, "/x/../p//1") == b"1", "by the normalised path"
    lines = [line for line in gw.log_lines() if line["listener"] == "public" and line["status"] == 200]
    assert [line["cache"] for line in lines] == ["miss", "hit", "miss", "miss", "hit", "miss", "hit", "hit"]
    assert cached(gw, HIT) == 4 and cached(gw, MISS) == 4
    assert 0 < gw.metric("shop_gateway_cache_bytes") < 5000


def test_for_so_long(rig):
    """Never older than cache_ms, counted from when the service was asked."""
    shop = Shop()
    gw = rig(shop, cache_ms=300)
    got, begun = {}, time.monotonic()
    while len(got) < 5:
        asked = time.monotonic()
        assert asked < begun + 20
        n = int(body(gw, "/p/1"))
        got.setdefault(n, time.monotonic())
        assert n == max(got), "an older answer after a newer one"
        # The service was asked before we got it, and 300 ms after that it is gone.
        assert asked < got[n] + 0.3
        time.sleep(0.01)
    assert shop.n <= 1 + (time.monotonic() - begun) / 0.3


def test_conditions(rig):
    shop = Shop()
    gw = rig(shop)
    assert gw.get("/p/1", 'If-None-Match: "1"')[0] == 304, "of an answer that was fetched whole"
    assert "if-none-match" not in shop.seen[0][2]
    status, fields, text = gw.get("/p/1", 'If-None-Match: "0", W/"1"')
    fields = dict(fields)
    assert status == 304 and text == b"" and "content-length" not in fields
    assert fields["etag"] == '"1"' and fields["cache-control"] == "no-cache" and "age" in fields
    assert gw.get("/p/1", "If-None-Match: *")[0] == 304
    status, _, text = gw.get("/p/1", 'If-None-Match: "2"')
    assert status == 200 and text == b"1" and shop.n == 1


def test_head(rig):
    shop = Shop(pad=b"x" * 10)
    gw = rig(shop)
    assert send(gw, "HEAD", "/p/1")[0] == 200 and shop.seen[-1][0] == "HEAD"
    assert body(gw, "/p/1") == b"1" + b"x" * 10 and shop.n == 1, "an answer to HEAD is not kept"
    asked = len(shop.seen)
    conn = gw.connect()
    conn.send("HEAD /p/1 HTTP/1.1\r\nHost: shop\r\n\r\nGET /p/1 HTTP/1.1\r\nHost: shop\r\n\r\n")
    status, fields, _ = conn.response(head_only=True)
    assert status == 200 and dict(fields)["content-length"] == "11" and dict(fields)["etag"] == '"1"'
    assert conn.response()[2] == b"1" + b"x" * 10 and len(shop.seen) == asked
    conn.close()


def test_requests_that_want_it_exact(rig):
    shop = Shop()
    gw = rig(shop)
    assert body(gw, "/p/1") == b"1"
    assert body(gw, "/p/1", "Cache-Control: no-cache") == b"2"
    assert shop.seen[-1][2]["cache-control"] == "no-cache", "the service has to know it"
    assert body(gw, "/p/1") == b"2", "nobody sees the older one after it"
    assert body(gw, "/p/1", "Cache-Control: max-age=0") == b"3"
    assert body(gw, "/p/1", "Cache-Control: no-store") == b"4"
    assert body(gw, "/p/1") == b"3", "not stored, as it was asked"
    assert body(gw, "/p/1", "Range: bytes=0-0") == b"5"
    assert body(gw, "/p/1", "Cache-Control: max-age=60") == b"3"
    time.sleep(1.1)
    assert body(gw, "/p/1", "Cache-Control: max-age=1") == b"6"


@pytest.mark.parametrize(
    "extra",
    [
        "Cache-Control: private\r\n",
        "Cache-Control: no-cache\r\nCache-Control: no-store\r\n",
        "Cache-Control: max-age=0\r\n",
        "Vary: Accept-Language\r\n",
        "Vary: *\r\n",
        "Set-Cookie: a=b\r\n",
        "Age: 0\r\n",
        'Warning: 110 - "stale"\r\n',
        "Expires: 0\r\n",
    ],
)
def test_answers_that_are_not_kept(rig, extra):
    gw = rig(Shop(extra=extra))
    assert [body(gw, "/p/1") for _ in range(3)] == [b"1", b"2", b"3"]
    assert gw.metric("shop_gateway_cache_bytes") == 0 and cached(gw, HIT) == 0


def test_only_good_whole_and_small_ones_are_kept(rig):
    gw = rig(Shop(status="404 Not Found"))
    assert [gw.get("/p/1")[2] for _ in range(2)] == [b"1", b"2"]
    gw = rig(Shop(pad=b"x" * 65536))
    assert [len(body(gw, "/p/1")) for _ in range(2)] == [65537, 65537] and cached(gw, MISS) == 2
    gw = rig(Shop(pad=b"x" * 65535))
    assert [len(body(gw, "/p/1")) for _ in range(2)] == [65536, 65536] and cached(gw, HIT) == 1
    gw = rig(Shop(etag="no-tag"))
    assert [body(gw, "/p/1") for _ in range(2)] == [b"1", b"2"]


@pytest.mark.parametrize("write", ["PUT /p/1", "DELETE /p/1", "POST /p/1", "POST /p/1/stock", "PUT /p/1?500"])
def test_who_wrote_reads_what_he_wrote(rig, write):
    """At once, and through every thread."""
    shop = Shop()
    gw = rig(shop, threads=4)
    conns = [gw.connect() for _ in range(16)]

    def read_all():
        for conn in conns:
            conn.send("GET /p/1 HTTP/1.1\r\nHost: shop\r\n\r\nGET /p/2 HTTP/1.1\r\nHost: shop\r\n\r\n")
        return [(conn.response()[2], conn.response()[2]) for conn in conns]

    read_all()
    for _ in range(5):
        before = shop.n
        mine, others = zip(*read_all())
        assert shop.n == before, "all threads have it"
        status, _, _ = send(gw, *write.split(" "))
        now_mine, now_others = zip(*read_all())
        assert min(map(int, now_mine)) > before, "none of them from before the write"
        assert now_others == others, "what was not written stays"
    assert gw.metric("shop_gateway_cache_invalidations_total") == 5
    for conn in conns:
        conn.close()


def test_a_refused_write_changes_nothing(rig):
    shop = Shop()
    gw = rig(shop)
    assert body(gw, "/p/1") == b"1"
    assert send(gw, "PUT", "/p/1?412")[0] == 412
    assert body(gw, "/p/1") == b"1"
    assert send(gw, "PUT", "/p/2")[0] == 200
    assert body(gw, "/p/1") == b"1"


def test_a_write_during_the_fetch(rig):
    """What was read before the write may reach who asked before it, but is not kept."""
    shop = Shop()
    gw = rig(shop)
    shop.hold.clear()
    early = ask_together(gw, 1)[0]
    until(lambda: shop.n == 1)
    assert send(gw, "PUT", "/p/1")[0] == 200
    shop.hold.set()
    assert early.response()[2] == b"1"
    assert body(gw, "/p/1") == body(gw, "/p/1") == b"2"
    early.close()


def test_who_asks_after_a_write_shares_no_fetch_from_before_it(rig):
    shop = Shop()
    gw = rig(shop)
    shop.hold.clear()
    early = ask_together(gw, 1)[0]
    until(lambda: shop.n == 1)
    assert send(gw, "PUT", "/p/1")[0] == 200
    late = ask_together(gw, 1)[0]
    until(lambda: cached(gw, MISS) + waiting(gw) == 2)
    assert waiting(gw) == 0
    shop.hold.set()
    assert early.response()[2] == b"1" and late.response()[2] == b"2"
    assert body(gw, "/p/1") == b"2"
    early.close()
    late.close()


def test_after_a_write_one_fetches_for_all(rig):
    """The fetch from before it is nobody's any more, and does not keep others from sharing the next one."""

    def story():
        shop = Shop()
        gw = rig(shop)
        shop.hold.clear()
        first = ask_together(gw, 1)[0]
        until(lambda: shop.n == 1)
        sent = time.monotonic()
        second = ask_together(gw, 1)[0]
        wait_for_another(gw, 1, sent)
        assert send(gw, "PUT", "/p/1")[0] == 200
        late = ask_together(gw, 20)
        wait_for_another(gw, 1 + 19, sent)
        until(lambda: shop.n == 2)
        first.reset()
        wait_for_another(gw, 19, sent)
        until(lambda: shop.n == 3, what="that who waited for it fetches")
        shop.hold.set()
        answers = second.response()[2], {conn.response()[2] for conn in late}
        in_time(sent)
        assert answers == (b"3", {b"2"})
        assert cached(gw, SHARED) == 19 and shop.n == 3
        for conn in [second, *late]:
            conn.close()

    unless_late(story)


def test_a_write_whose_answer_never_came(rig):
    def handler(conn, up):
        method, _, _, _ = conn.request()
        if method == "PUT":
            return
        up.n = getattr(up, "n", 0) + 1
        conn.send(reply(b"%d" % up.n, extra='ETag: "a"\r\nConnection: close\r\n'))

    with Upstream(handler) as up:
        writes = {"path": "/p/:id", "methods": ["PUT"], "who": ["anyone"], "upstream": "up0"}
        with Gateway({"/p/:id": (up, {"methods": ["GET"], "cache_ms": LONG_MS})}, more_routes=[writes]) as gw:
            assert body(gw, "/p/1") == b"1" and body(gw, "/p/1") == b"1"
            assert send(gw, "PUT", "/p/1")[0] == 502
            assert body(gw, "/p/1") == b"2"


@pytest.mark.parametrize("second", ["404 Not Found", "412 Precondition Failed", "gone"])
def test_a_write_that_was_sent_twice(rig, second):
    """The first try may have been heard, however the second ends; and it may take effect while the second is under way."""
    shop = Shop()
    writes = []
    decided = threading.Event()

    def handler(conn, up):
        while True:
            method, _, _, _ = conn.request()
            if method == "GET":
                shop.n += 1
                conn.send(reply(b"%d" % shop.n, extra=f'ETag: "{shop.n}"\r\n'))
                continue
            writes.append(method)
            if second == "gone":
                up.stop_accepting()
            if len(writes) == 1:
                return
            decided.wait(10)
            conn.send(reply(b"", second))

    gw = rig(shop, handler=handler)
    assert body(gw, "/p/1") == body(gw, "/p/1") == b"1"
    conn = gw.connect()
    conn.send("DELETE /p/1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
    if second == "gone":
        assert (conn.response()[0], gw.get("/p/1")[0]) == (502, 503)
    else:
        until(lambda: len(writes) == 2)
        assert body(gw, "/p/1") == body(gw, "/p/1") == b"2"
        decided.set()
        assert conn.response()[0] == int(second[:3])
        assert body(gw, "/p/1") == b"3"
    conn.close()


def test_routes_that_touch_others(rig):
    """Not often: who sells by the hundred must not make all others read the service."""
    shop = Shop()
    sale = {"path": "/sale/:id", "methods": ["PUT"], "who": ["anyone"], "upstream": "up0", "touches": ["/p/:id"]}
    gw = rig(shop, more=[sale])
    for n in range(1, 6):
        assert body(gw, "/p/1") == body(gw, "/p/1") == b"%d" % n
        assert send(gw, "PUT", "/sale/7")[0] == 200
    assert send(gw, "PUT", "/sale/7?409")[0] == 409
    time.sleep(1)
    before, begun = shop.n, time.monotonic()
    conn = gw.connect()
    for _ in range(200):
        conn.send("PUT /sale/7 HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\nGET /p/1 HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert conn.response()[0] == conn.response()[0] == 200
    conn.close()
    # 3 more with each tenth of a second, also with the first one.
    assert 8 <= shop.n - before <= 8 + 3 + 35 * (time.monotonic() - begun)


def test_one_fetch_for_many(rig):
    def story():
        shop = Shop()
        gw = rig(shop)
        shop.hold.clear()
        conns = ask_together(gw, 1)
        until(lambda: shop.n == 1)
        sent = time.monotonic()
        conns += ask_together(gw, 99)
        wait_for_another(gw, 99, sent)
        conns.pop().reset()
        wait_for_another(gw, 98, sent)
        assert send(gw, "HEAD", "/p/1")[0] == 200, "HEAD does not wait"
        shop.hold.set()
        answers = [conn.response()[2] for conn in conns]
        in_time(sent)
        assert answers == [b"1"] * 99
        assert shop.n == 1
        assert cached(gw, MISS) == 1 and cached(gw, SHARED) == 98
        for conn in conns:
            conn.close()

    unless_late(story)


def test_nobody_is_given_a_fetch_older_than_what_is_stored(rig):
    """The service is slow: who comes after cache_ms, or his own max-age, starts a fetch that the next ones share."""

    def story():
        shop = Shop()
        gw = rig(shop, cache_ms=2000)
        shop.hold.clear()
        old = ask_together(gw, 1)
        until(lambda: shop.n == 1)
        old += ask_together(gw, 1)
        time.sleep(1.1)
        own = gw.connect()
        own.send("GET /p/1 HTTP/1.1\r\nHost: shop\r\nCache-Control: max-age=1\r\n\r\n")
        until(lambda: shop.n == cached(gw, MISS) == 3, what="a fetch for him, and for who waited for a second")
        time.sleep(2.1)
        sent = time.monotonic()
        late = ask_together(gw, 20)
        wait_for_another(gw, 19, sent)
        assert cached(gw, MISS) == 4
        shop.hold.set()
        early, later = ({conn.response()[2] for conn in conns} for conns in ([*old, own], late))
        in_time(sent)
        assert early == {b"1", b"2", b"3"} and later == {b"4"}
        assert shop.n == 4 and cached(gw, SHARED) == 19
        for conn in [*old, own, *late]:
            conn.close()

    unless_late(story)


def test_more_than_one_fetch_is_for(rig):
    def story():
        shop = Shop()
        gw = rig(shop)
        shop.hold.clear()
        conns = ask_together(gw, 1)
        until(lambda: shop.n == 1)
        sent = time.monotonic()
        conns += ask_together(gw, 399)
        wait_for_another(gw, 398, sent)
        shop.hold.set()
        bodies = [conn.response()[2] for conn in conns]
        in_time(sent)
        assert shop.n == 2 and bodies.count(b"1") == 257 and bodies.count(b"2") == 143
        assert body(gw, "/p/1") == b"2"
        for conn in conns:
            conn.close()

    unless_late(story)


@pytest.mark.parametrize("how", ["leaves", "private", "cut"])
def test_who_waits_in_vain_fetches_alone(rig, how):
    """The first client goes away, its answer may not be kept, or it never comes whole."""

    def story():
        shop = Shop(extra="Cache-Control: private\r\n" if how == "private" else "")

        def handler(conn, up):
            if how != "cut" or shop.seen:
                return shop(conn, up)
            conn.request()
            shop.seen.append("cut")
            shop.hold.wait(10)
            conn.send('HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 100\r\n\r\nhalf')
            return None

        gw = rig(shop, handler=handler)
        shop.hold.clear()
        first = ask_together(gw, 1)[0]
        until(lambda: shop.seen)
        sent = time.monotonic()
        others = ask_together(gw, 10)
        wait_for_another(gw, 10, sent)
        assert len(shop.seen) == 1
        if how == "leaves":
            first.reset()
            until(lambda: len(shop.seen) == 11)
        shop.hold.set()
        statuses = [conn.response()[0] for conn in others]
        in_time(sent)
        assert statuses == [200] * 10
        if how == "cut":
            assert first.response()[0] == 502, "nothing of half an answer was passed on"
        assert len(shop.seen) == 11
        for conn in others:
            conn.close()

    unless_late(story)


def test_nobody_waits_long_for_another(rig):
    shop = Shop()
    gw = rig(shop)
    shop.hold.clear()
    begun = time.monotonic()
    conns = ask_together(gw, 3)
    until(lambda: shop.n == 3)
    assert time.monotonic() - begun > 0.9
    shop.hold.set()
    for conn in conns:
        assert conn.response()[0] == 200
        conn.close()


def test_with_the_service_away(rig):
    """What is kept is given for its time and no longer."""
    shop = Shop()
    gw = rig(shop)
    body(gw, "/p/1")
    shop.up.close()
    assert body(gw, "/p/1") == b"1"
    assert gw.get("/p/2")[0] == 503
    shop = Shop()
    gw = rig(shop, cache_ms=500)
    body(gw, "/p/1")
    shop.up.close()
    until(lambda: gw.get("/p/1")[0] == 503)
    assert gw.get("/p/1")[0] == 503


def test_bounded_memory(rig):
    """The last used stay, the others make room."""
    shop = Shop(pad=b"x" * 20000)
    gw = rig(shop, CACHE_KIB="256")
    conn = gw.connect()
    for n in range(100):
        for path in ("/p/hot", f"/p/{n}"):
            conn.send(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n")
            assert conn.response()[0] == 200
        assert gw.metric("shop_gateway_cache_bytes") <= 256 * 1024
    conn.close()
    assert shop.n == 101 and cached(gw, HIT) == 99
    assert gw.metric("shop_gateway_cache_evictions_total") >= 100 - 256 * 1024 // 20000


def test_no_cache_at_all(rig):
    shop = Shop()
    gw = rig(shop, CACHE_KIB="0")
    assert [body(gw, "/p/1") for _ in range(2)] == [b"1", b"2"]
    assert send(gw, "PUT", "/p/1")[0] == 200


def test_tokens_are_judged_first(rig):
    """A bad token is refused, also where what is stored would do; no credentials reach the service."""
    shop = Shop()
    gw = rig(shop)
    body(gw, "/p/1", "Cookie: a=b")
    assert "cookie" not in shop.seen[0][2]
    for token in ("Service order-svc:wrong", "Nonsense", "Basic eDp5"):
        assert gw.get("/p/1", f"Authorization: {token}")[0] == 401
    assert shop.n == 1 and body(gw, "/p/1") == b"1"


def test_who_is_cut_while_the_gateway_looks_at_deadlines(rig):
    """A fetch that waits for a connection gives up; one who shared it takes its place in the queue, and the next one, who
    only reads any more, is refused and closed in the same look, which comes to him then."""
    shop = Shop()
    shop.hold.clear()
    gw = rig(shop, POOL_CONNS="1", POOL_WAITING="1")

    def get(path, conn=None):
        conn = conn or gw.connect()
        conn.send(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n")
        return conn

    first = get("/p/first")
    until(lambda: shop.n == 1)
    leader = get("/p/1")
    until(lambda: gw.metric("shop_gateway_waiting") == 1)
    refused, heir = gw.connect(), gw.connect()
    time.sleep(0.3)  # so that the heir may wait for longer than the leader
    get("/p/1", heir)
    until(lambda: waiting(gw) == 1)
    get("/p/1", refused).sock.shutdown(socket.SHUT_WR)
    assert [leader.response()[0], refused.response()[0]] == [503, 503]
    time.sleep(0.3)  # some looks more
    shop.hold.set()
    assert [first.response()[0], heir.response()[0]] == [200, 200]


def test_pipelined(rig):
    shop = Shop()
    gw = rig(shop)
    conn = gw.connect()
    conn.send("GET /p/1 HTTP/1.1\r\nHost: shop\r\n\r\n" * 500)
    assert {conn.response()[2] for _ in range(500)} == {b"1"} and shop.n == 1
    conn.close()


# ---- the whole shop ----


def repeated(answer, stock):
    assert answer.json()["stock"] == stock
    return "Age" in answer.headers


def test_sales_and_changes_show_at_once(stack):
    """Through the gateway, with the routes file that is shipped."""
    user, token = stack.new_user()
    product = stack.new_product(stock=50, price=2.00)
    path = f"/api/products/{product}"
    for n in range(1, 6):
        until(lambda left=51 - n: repeated(stack.api("GET", path), left))
        assert stack.order(user, product, 1, token=token).status_code == 201
        read = stack.api("GET", path)
        assert read.json()["stock"] == 50 - n
    change = {"name": "Renamed", "category": "test", "price": 3}
    etag = {"If-Match": read.headers["ETag"]}
    assert stack.api("PUT", path, json=change, headers=etag, token="admin").status_code == 200
    assert stack.api("GET", path).json()["name"] == "Renamed"
    assert stack.api("GET", path, headers={"If-None-Match": read.headers["ETag"]}).status_code == 200
