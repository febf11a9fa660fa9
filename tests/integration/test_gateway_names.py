"""Upstreams that are names: instances come and go, and no request notices."""

import contextlib
import threading

import pytest
import requests
from alone import binary, free_port
from deaf import Deaf
from dns import Dns, program_with_dns
from gateway_rig import Gateway, Upstream, always, reply, until
from shop_stack import MODE

NAME = "orders.shop.test"
SEEN_S = 10  # a change of the addresses is seen long before
GRACE_S = 10  # for names that are not found yet
PLAIN = [{"path": "/y", "methods": ["GET"], "who": ["anyone"], "upstream": "plain"}]


class Named:
    """Instances of one service on addresses of loopback, with one port and one admin port."""

    def __init__(self, parts, dns):
        self.parts, self.dns = parts, dns
        self.port, self.admin_port = free_port(), free_port()
        self.ups, self.ready = {}, {}
        self.url, self.admin_url = (f"http://{NAME}:{port}" for port in (self.port, self.admin_port))

    def start(self, n, handler=None):
        address = f"127.0.0.{n}"
        self.ups[n] = Upstream(handler or always(reply(b"%d" % n)), address, self.port)
        self.parts.callback(self.ups[n].close)
        if n not in self.ready:
            self.ready[n] = True
            self.parts.callback(Upstream(lambda conn, up: self._admin(conn, n), address, self.admin_port).close)

    def _admin(self, conn, n):
        while True:
            conn.request()
            conn.send(reply(b"", "200 OK" if self.ready[n] else "503 Service Unavailable"))

    def announce(self, *numbers):
        self.dns.names[NAME] = [f"127.0.0.{n}" for n in numbers]


class Place:
    def __init__(self, url):
        self.url = url


@pytest.fixture
def rig(tmp_path):
    """rig(probed, mute, more) -> (gateway, Named): GET /x by name; `more` are routes to an upstream "plain" by address."""
    parts = contextlib.ExitStack()
    dns = parts.enter_context(Dns())
    program = program_with_dns(binary("gateway", MODE), dns, tmp_path)
    named = Named(parts, dns)

    def start(probed=False, mute=False, more=(), **env):
        dns.mute = mute
        admin = {"admin": [Place(named.admin_url)]} if probed else {}
        plain = {"plain": {"endpoints": parts.enter_context(Upstream(always(reply(b"plain")))).url}} if more else {}
        gw = Gateway({"/x": (Place(named.url), admin)}, program=program, more_routes=more, upstreams=plain, **env)
        parts.callback(gw.stop)
        return gw, named

    yield start
    parts.close()


def who(gw, n=40):
    """Who answers; nobody may fail."""
    got = [gw.get("/x") for _ in range(n)]
    assert {status for status, *_ in got} == {200}, got
    return {body for *_, body in got}


def readyz(gw, check="names"):
    answer = requests.get(f"{gw.admin}/readyz", timeout=5)
    return answer.status_code, answer.json()["checks"][check]


class Load:
    """One kept connection that asks all the time; no answer may be anything but 200."""

    def __init__(self, gw):
        self.gw, self.n, self.bad, self.over = gw, 0, [], threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        conn = self.gw.connect()
        while not self.over.wait(0.001):
            conn.send("GET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
            status, _, body = conn.response()
            self.n += 1
            if status != 200:
                self.bad.append((status, body))
            if self.n % 900 == 0:  # the gateway's limit for one connection is near
                conn.close()
                conn = self.gw.connect()
        conn.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        assert self.n > 100 and not self.bad, (self.n, self.bad[:3])


def test_a_name_that_is_not_known_yet(rig):
    gw, named = rig()
    until(lambda: readyz(gw) == (503, "not one name of a service is found"))
    assert gw.get("/x")[0] == 503
    named.start(2)
    named.announce(2)
    until(lambda: readyz(gw) == (200, "ok"), SEEN_S)
    until(lambda: gw.get("/x")[0] == 200, SEEN_S)
    assert gw.metric("shop_gateway_upstream_addresses", 'upstream="up0"') == 1


def test_not_ready_before_names_were_looked_up(rig):
    gw, named = rig(mute=True)
    named.start(2)
    named.announce(2)
    assert readyz(gw) == (503, "looking up the names of the services")
    named.dns.mute = False
    until(lambda: readyz(gw)[0] == 200, SEEN_S)
    assert gw.get("/x")[0] == 200


def test_not_ready_before_a_service_was_heard_of(rig):
    """Else a new instance gets requests while the network still drops what it sends."""
    gw, named = rig(probed=True)
    named.ready[2] = True  # its admin port is the deaf one
    named.start(2)
    with contextlib.closing(Deaf("127.0.0.2", named.admin_port)) as deaf:
        named.announce(2)
        until(lambda: readyz(gw)[1] == "ok", SEEN_S)
        assert readyz(gw, "services") == (503, "a service has not answered yet")
        with Upstream(lambda conn, up: named._admin(conn, 2), listener=deaf.hear()):
            until(lambda: readyz(gw, "services") == (200, "ok"), GRACE_S / 2)
            assert gw.get("/x")[0] == 200


def test_a_service_that_is_not_there_holds_nobody_up(rig):
    """A refusal has come through the network, too."""
    gw, named = rig(probed=True)
    named.announce(2)
    until(lambda: readyz(gw)[1] == "ok", SEEN_S)
    until(lambda: readyz(gw, "services") == (200, "ok"), GRACE_S / 2)


def test_a_lost_question_is_asked_again_soon(rig):
    gw, named = rig(mute=True)
    named.start(2)
    named.announce(2)
    until(lambda: named.dns.asked > 2, what="a third question")  # the first two: for IPv4 and IPv6
    first, _, again, *_ = named.dns.times
    assert again - first < 3.5
    named.dns.mute = False
    until(lambda: readyz(gw)[0] == 200, SEEN_S)


def test_a_name_that_nobody_knows_is_no_reason_to_refuse_the_others(rig):
    gw, named = rig(more=PLAIN)
    until(lambda: readyz(gw)[0] == 200, GRACE_S + SEEN_S)
    assert gw.get("/x")[0] == 503 and gw.get("/y")[0] == 200


def test_a_new_gateway_waits_for_each_name(rig):
    gw, named = rig(more=PLAIN)
    until(lambda: gw.log_lines("cannot find endpoint"))
    assert readyz(gw) == (503, "looking up the names of the services")
    named.start(2)
    named.announce(2)
    until(lambda: readyz(gw)[0] == 200, SEEN_S)
    until(lambda: gw.get("/x")[0] == 200, SEEN_S)


@pytest.mark.parametrize("probed", [False, True])
def test_instances_come_and_go_under_load(rig, probed):
    gw, named = rig(probed)
    for n in (2, 3, 4):
        named.start(n)
    named.announce(2, 3)
    until(lambda: readyz(gw)[0] == 200, SEEN_S)
    until(lambda: who(gw) == {b"2", b"3"}, SEEN_S, "answers of both")
    with Load(gw):
        named.announce(2, 3, 4)
        until(lambda: b"4" in who(gw), SEEN_S, "load on the new instance")
        named.announce(4, 3)
        until(lambda: who(gw) == {b"3", b"4"}, SEEN_S, "the end of load on the old one")
        named.ups[2].close()
        named.announce(4)
        until(lambda: who(gw) == {b"4"}, SEEN_S)
        named.announce(2)  # all at once
        named.start(2)
        until(lambda: who(gw) == {b"2"}, SEEN_S)


def test_what_is_under_way_is_finished_by_who_has_gone(rig):
    gw, named = rig()
    hold = threading.Event()

    def slow(conn, up):
        while True:
            conn.request()
            hold.wait(30)
            conn.send(reply(b"slow"))

    named.start(2, slow)
    named.start(3)
    named.announce(2)
    until(lambda: readyz(gw)[0] == 200, SEEN_S)
    conn = gw.connect()
    conn.send("GET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
    until(lambda: named.ups[2].n_conns == 1)
    named.announce(3)
    until(lambda: gw.log_lines("endpoint gone"), SEEN_S)
    assert who(gw) == {b"3"}
    hold.set()
    assert conn.response()[2] == b"slow"
    assert who(gw) == {b"3"}
    assert named.ups[2].n_conns == 1


def test_the_readiness_of_each_instance_is_asked_at_its_own_address(rig):
    gw, named = rig(probed=True)
    for n in (2, 3):
        named.start(n)
    named.announce(2, 3)
    until(lambda: readyz(gw)[0] == 200, SEEN_S)
    until(lambda: who(gw) == {b"2", b"3"}, SEEN_S)
    named.ready[2] = False
    until(lambda: who(gw) == {b"3"}, SEEN_S)
    assert gw.metric("shop_gateway_upstream_addresses") == 1
    named.ready[2], named.ready[3] = True, False
    until(lambda: who(gw) == {b"2"}, SEEN_S)


def test_an_announced_instance_that_does_not_listen_costs_nothing(rig):
    gw, named = rig(probed=True)
    named.start(2)
    named.announce(2)
    until(lambda: readyz(gw)[0] == 200, SEEN_S)
    with Load(gw):
        named.announce(2, 5)
        asked = named.dns.asked
        until(lambda: named.dns.asked > asked + 4, SEEN_S)
        assert who(gw) == {b"2"}


def test_name_servers_that_fail_change_nothing(rig):
    gw, named = rig()
    named.start(2)
    named.announce(2)
    until(lambda: readyz(gw)[0] == 200, SEEN_S)
    with Load(gw):
        named.dns.mute = True
        asked = named.dns.asked
        until(lambda: named.dns.asked > asked + 2, 30)
        named.dns.mute = False
        del named.dns.names[NAME]
        asked = named.dns.asked
        until(lambda: named.dns.asked > asked + 4, 30)
    assert readyz(gw)[0] == 200


def test_what_libevent_says_of_name_servers_is_a_log_line_as_any_other(rig):
    gw, named = rig(LOG_LEVEL="debug")
    named.dns.names[NAME] = None
    until(lambda: gw.log_lines("libevent"), SEEN_S)
    assert all(line.startswith("{") for line in gw.text().splitlines())
