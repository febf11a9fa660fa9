"""Two versions of a service behind one route: who gets which, and what stays right."""

import contextlib
import json
import secrets

import pytest
import requests
from alone import Process, binary
from gateway_rig import Gateway, Upstream, always, reply, until
from shop_stack import MODE, ROOT

CANARY = {"canary": "true"}
HEADER = "canary: true"
FALLBACKS = "shop_gateway_variant_fallbacks_total"
REQUESTS = "shop_gateway_upstream_requests_total"


def answers(text, extra=""):
    return always(reply(text, extra=extra))


@pytest.fixture
def rig():
    """rig(stable, canary, weights) -> gateway with /x; both are handlers."""
    parts = contextlib.ExitStack()

    def start(stable, canary, weights=(90, 10), route=None, variant=None, **env):
        v1, v2 = Upstream(stable), Upstream(canary)
        upstreams = {
            "up0": {"weight": weights[0], "variants": [{"upstream": "v2", "weight": weights[1], "headers": CANARY}]},
            "v2": {"endpoints": v2.url, **(variant or {})},
        }
        gw = Gateway({"/x": (v1, route or {})}, upstreams=upstreams, **env)
        for up in (v1, v2):
            parts.callback(up.close)
        parts.callback(gw.stop)
        gw.v1, gw.v2 = v1, v2
        return gw

    yield start
    parts.close()


def test_the_header_decides_and_else_the_weights(rig):
    gw = rig(answers(b"v1"), answers(b"v2"), weights=(70, 30))
    assert {gw.get("/x", HEADER)[2] for _ in range(30)} == {b"v2"}
    plain = [gw.get("/x")[2] for _ in range(400)]
    # 120 expected, standard deviation 9: six of them.
    assert 66 < plain.count(b"v2") < 174
    assert gw.metric(REQUESTS, 'upstream="v2",code="2xx"') == 30 + plain.count(b"v2")
    assert gw.metric(REQUESTS, 'upstream="up0",code="2xx"') == plain.count(b"v1")
    assert gw.metric("shop_gateway_upstream_seconds_count", 'upstream="v2"') == 30 + plain.count(b"v2")
    assert {line.get("variant") for line in gw.log_lines()} == {"v2", ""}


def test_without_weight_only_the_header_leads_there(rig):
    gw = rig(answers(b"v1"), answers(b"v2"), weights=(100, 0))
    assert {gw.get("/x")[2] for _ in range(100)} == {b"v1"}
    assert gw.get("/x", HEADER)[2] == b"v2"


def test_a_canary_that_is_away_is_replaced_by_the_stable_version(rig):
    gw = rig(answers(b"v1"), answers(b"v2"))
    assert gw.get("/x", HEADER)[2] == b"v2"
    gw.v2.close()
    assert {gw.get("/x", HEADER)[2] for _ in range(20)} == {b"v1"}
    assert gw.metric(FALLBACKS, 'upstream="v2"') == 20
    assert gw.metric("shop_gateway_no_endpoint_total") == 0


def test_a_post_is_not_lost_with_the_canary(rig):
    gw = rig(answers(b"v1"), answers(b"v2"))
    gw.v2.close()
    status, _, body = gw.ask(f"POST /x HTTP/1.1\r\nHost: shop\r\n{HEADER}\r\nContent-Length: 3\r\n\r\nabc")
    assert (status, body) == (200, b"v1")


def test_a_canary_without_addresses_gets_nothing(rig):
    gw = rig(answers(b"v1"), answers(b"v2"), weights=(50, 50), variant={"endpoints": "${NO_SUCH_VARIABLE:-}"})
    assert {gw.get("/x")[2] for _ in range(20)} == {b"v1"}
    assert gw.get("/x", HEADER)[2] == b"v1"
    assert gw.metric(FALLBACKS, 'upstream="v2"') >= 1
    assert gw.metric("shop_gateway_upstream_addresses", 'upstream="v2"') == 0
    assert gw.metric("shop_gateway_upstream_addresses", 'upstream="up0"') == 1


def test_an_unready_canary_gets_nothing(rig):
    state = {"now": "200 OK"}

    def admin(conn, up):
        while True:
            conn.request()
            conn.send(reply(b"", status=state["now"]))

    with Upstream(admin) as health:
        gw = rig(answers(b"v1"), answers(b"v2"), variant={"admin": health.url})
        until(lambda: gw.metric("shop_gateway_endpoint_ready") == 1)
        assert gw.get("/x", HEADER)[2] == b"v2"
        state["now"] = "503 Service Unavailable"
        until(lambda: gw.get("/x", HEADER)[2] == b"v1")
        state["now"] = "200 OK"
        until(lambda: gw.get("/x", HEADER)[2] == b"v2")


def test_nobody_is_left(rig):
    gw = rig(answers(b"v1"), answers(b"v2"))
    gw.v1.close()
    gw.v2.close()
    assert gw.get("/x", HEADER)[0] == 503
    assert gw.get("/x")[0] == 503


class Counted:
    """Says its name and how many reads it has answered."""

    def __init__(self, name):
        self.name, self.n = name, 0

    def __call__(self, conn, up):
        while True:
            method, *_ = conn.request()
            self.n += method == "GET"
            conn.send(reply(b"%s-%d" % (self.name, self.n), extra=f'ETag: "{self.name.decode()}{self.n}"\r\n'))


def test_what_is_stored_is_stored_for_each_version(rig):
    stable, canary = Counted(b"v1"), Counted(b"v2")
    write = {"path": "/x", "methods": ["PUT"], "who": ["anyone"], "upstream": "up0"}
    gw = rig(stable, canary, weights=(100, 0), route={"methods": ["GET"], "cache_ms": 60000}, more_routes=[write])
    for _ in range(3):
        assert gw.get("/x")[2] == b"v1-1"
        assert gw.get("/x", HEADER)[2] == b"v2-1"
    # A write through either version is a write: what is stored of both is forgotten.
    for extra in ("", f"{HEADER}\r\n"):
        before = stable.n, canary.n
        assert gw.ask(f"PUT /x HTTP/1.1\r\nHost: shop\r\n{extra}Content-Length: 0\r\n\r\n")[0] == 200
        assert gw.get("/x")[2] == b"v1-%d" % (before[0] + 1)
        assert gw.get("/x", HEADER)[2] == b"v2-%d" % (before[1] + 1)


# ---- with the real order-svc ----


@pytest.fixture
def two_versions(new_stack, tmp_path):
    """(stack, gateway): order-svc.1 is the stable version, order-svc.2 the canary."""
    shop = new_stack(
        instances={"order-svc": 2},
        env=["order-svc:SERVED_BY=true", "order-svc.1:SERVICE_VERSION=1.0", "order-svc.2:SERVICE_VERSION=2.0"],
    )
    stable, canary = shop.instances("order-svc")
    more = {
        "order-svc": {"endpoints": stable["http"], "admin": stable["admin"], "weight": 50,
                      "variants": [{"upstream": "order-svc-v2", "weight": 50, "headers": CANARY}]},
        "order-svc-v2": {"endpoints": canary["http"], "admin": canary["admin"]},
    }  # fmt: skip
    (tmp_path / "canary.json").write_text(json.dumps({"upstreams": more}))
    env = shop.env("gateway")
    for name in ("LISTEN", "INTERNAL_LISTEN", "ADMIN_LISTEN"):
        del env[name]
    env["ROUTES_FILE"] = f"{ROOT / 'gateway' / 'routes.json'},{tmp_path / 'canary.json'}"
    gateway = Process(
        binary("gateway", MODE), env, tmp_path / "log", listeners=["LISTEN", "INTERNAL_LISTEN", "ADMIN_LISTEN"]
    )
    yield shop, gateway
    assert gateway.stop() == 0


def test_an_order_is_one_order_whichever_version_hears_of_it(two_versions):
    shop, gateway = two_versions
    user, token = shop.new_user()
    product = shop.new_product(stock=50, price=10.00)
    versions = set()
    for _ in range(12):
        key, ids = secrets.token_hex(8), set()
        for headers in (CANARY, {}, {}, CANARY):
            headers = {**headers, "Authorization": f"Bearer {token}", "Idempotency-Key": key}
            order = {"user_id": user, "product_id": product, "quantity": 1}
            answer = requests.post(f"{gateway.url}/api/orders", json=order, headers=headers, timeout=20)
            assert answer.status_code == 201, answer.text
            ids.add(answer.json()["order_id"])
            versions.add(("canary" in headers, answer.headers["X-Served-By"]))
        assert len(ids) == 1
    assert versions == {(True, "order-svc/2.0"), (False, "order-svc/1.0"), (False, "order-svc/2.0")}
    until(lambda: shop.totals(user)["total_orders"] == 12, 20, "twelve orders")
