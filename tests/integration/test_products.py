"""The catalogue and its stock: reading, changing, entity tags, deltas under a key."""

import concurrent.futures

import pytest
from product_alone import ProductAlone

BODY = {"name": "Lamp", "category": "home", "price": 19.9}


@pytest.fixture(scope="module")
def alone(stack, tmp_path_factory):
    alone = ProductAlone(stack, tmp_path_factory.mktemp("products"))
    yield alone
    alone.close()


@pytest.fixture(scope="module")
def svc(alone):
    return alone.start()


def problem(answer, status, code, field=None):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    body = answer.json()
    assert body["status"] == status and body["code"] == code and body["request_id"]
    if field:
        assert body["errors"][0]["field"] == field, body
    return body


def test_create_and_read(svc):
    made = svc.create("NEW.1", stock=7, description="a\nb", image_url="/img/x.svg")
    assert made.headers["Location"] == "/api/products/NEW.1"
    read = svc.get("/api/products/NEW.1")
    assert read.status_code == 200 and read.json() == made.json()
    assert read.json()["price"] == 19.99 and '"price":19.99' in read.text
    assert read.json()["stock"] == 7 and read.json()["in_stock"] is True
    assert read.headers["ETag"] == made.headers["ETag"] == '"1"'
    wide = svc.create("WIDE", name="😀" * 200, description="ä" * 4000).json()
    assert wide["name"] == "😀" * 200 and svc.get("/api/products/WIDE").json() == wide
    problem(svc.call("POST", "/api/products", {**BODY, "product_id": "NEW.1"}), 409, "product_exists")
    problem(svc.get("/api/products/nothing"), 404, "product_not_found")
    problem(svc.get("/api/products/%C3%A4"), 404, "product_not_found")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"product_id": "a b"}, "product_id"),
        ({"product_id": "x" * 65}, "product_id"),
        ({"product_id": None}, "product_id"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "ä" * 201}, "name"),
        ({"name": 5}, "name"),
        ({"description": "x" * 4001}, "description"),
        ({"category": "x" * 65}, "category"),
        ({"price": 0}, "price"),
        ({"price": -1}, "price"),
        ({"price": "19.90"}, "price"),
        ({"price": 1.001}, "price"),
        ({"price": 10000000}, "price"),
        ({"stock": -1}, "stock"),
        ({"stock": 1.5}, "stock"),
        ({"image_url": "javascript:alert(1)"}, "image_url"),
        ({"currency": "EUR"}, "currency"),
        ({"naem": "x"}, "naem"),
    ],
)
def test_bad_product(svc, change, field):
    answer = svc.call("POST", "/api/products", {**BODY, "product_id": "BAD", **change})
    problem(answer, 400, "bad_request", field)


def test_only_admins_write(svc):
    for method, path in [
        ("POST", "/api/products"),
        ("PUT", "/api/products/X"),
        ("DELETE", "/api/products/X"),
        ("POST", "/api/products/X/stock"),
    ]:
        problem(svc.call(method, path, {}, admin=False), 401, "unauthorized")
        forged = {"Authorization": "Service order-svc:guess"}
        problem(svc.call(method, path, {}, forged, admin=False), 401, "unauthorized")


def test_replace_needs_the_version(svc):
    etag = svc.create("PUT1", stock=3).headers["ETag"]
    path = "/api/products/PUT1"
    problem(svc.call("PUT", path, BODY), 428, "precondition_required")
    problem(svc.call("PUT", path, BODY, {"If-Match": '"9"'}), 412, "precondition_failed")
    problem(svc.call("PUT", path, {**BODY, "stock": 9}, {"If-Match": etag}), 400, "bad_request", "stock")
    changed = svc.call("PUT", path, BODY, {"If-Match": etag})
    assert changed.status_code == 200 and changed.headers["ETag"] != etag
    assert changed.json()["name"] == "Lamp" and changed.json()["stock"] == 3
    assert svc.get(path).json() == changed.json()
    problem(svc.call("PUT", path, BODY, {"If-Match": etag}), 412, "precondition_failed")
    problem(svc.call("PUT", "/api/products/none", BODY, {"If-Match": "*"}), 404, "product_not_found")


def test_only_one_of_many_replacements_wins(svc):
    etag = svc.create("RACE").headers["ETag"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(
                lambda n: svc.call("PUT", "/api/products/RACE", {**BODY, "name": f"n{n}"}, {"If-Match": etag}).status_code,
                range(16),
            )
        )
    assert sorted(answers) == [200] + 15 * [412]


def test_delete_keeps_the_id(svc):
    etag = svc.create("GONE", stock=5).headers["ETag"]
    path = "/api/products/GONE"
    problem(svc.call("DELETE", path), 428, "precondition_required")
    problem(svc.call("DELETE", path, headers={"If-Match": '"7"'}), 412, "precondition_failed")
    assert svc.call("DELETE", path, headers={"If-Match": etag}).status_code == 204
    problem(svc.get(path), 404, "product_not_found")
    problem(svc.call("DELETE", path, headers={"If-Match": etag}), 404, "product_not_found")
    problem(svc.add("GONE", 1, "k"), 404, "product_not_found")
    problem(svc.call("POST", "/api/products", {**BODY, "product_id": "GONE"}), 409, "product_exists")
    assert "GONE" not in [p["product_id"] for p in svc.get("/api/products").json()["products"]]


def test_conditional_reads(svc):
    etag = svc.create("ETAG", stock=1).headers["ETag"]
    path = "/api/products/ETAG"
    same = svc.get(path, {"If-None-Match": f'"x", W/{etag}'})
    assert same.status_code == 304 and same.headers["ETag"] == etag and not same.content
    assert svc.add("ETAG", 4, "e1").status_code == 200
    assert svc.get(path, {"If-None-Match": etag}).status_code == 304, "stock is no part of it"
    assert svc.get(path).json()["stock"] == 5
    page = svc.get("/api/products", category="things")
    tag = {"If-None-Match": page.headers["ETag"]}
    assert svc.get("/api/products", tag, category="things").status_code == 304
    assert svc.call("PUT", path, {**BODY, "category": "things"}, {"If-Match": etag}).status_code == 200
    assert svc.get("/api/products", tag, category="things").status_code == 200


def test_pages_search_and_category(svc):
    for n in range(25):
        svc.create(f"PAGE{n:02}", category="pages", description=f"50% off_{n}")
    seen, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = svc.get("/api/products", category="pages", limit=10, **more).json()
        seen += [p["product_id"] for p in page["products"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == [f"PAGE{n:02}" for n in range(25)]
    found = svc.get("/api/products", q="off_7", category="pages").json()["products"]
    assert [p["product_id"] for p in found] == ["PAGE07"], "_ stands for itself"
    assert len(svc.get("/api/products", q="50%", limit=100).json()["products"]) == 25
    assert svc.get("/api/products", q="5!").json()["products"] == []
    assert svc.get("/api/products", q="name of page03").json()["products"][0]["product_id"] == "PAGE03"
    assert svc.get("/api/products", category="nothing").json() == {"products": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"limit": "x"}, "limit"),
        ({"cursor": "a b"}, "cursor"), ({"cursor": ""}, "cursor"), ({"q": "x" * 101}, "q"),
        ({"category": "x" * 300}, "category"), ({"category": "x" * 2100}, "category"), ({"category": b"\xff"}, "category"),
        ({"cursor": "x" * 2100}, "cursor"), ({"cursor": b"\xff"}, "cursor"),
        ({"q": "x" * 2100}, "q"), ({"q": b"\xff"}, "q"),
    ],
)  # fmt: skip
def test_bad_queries(svc, params, field):
    problem(svc.get("/api/products", **params), 400, "bad_request", field)


def test_stock_deltas_count_once(svc, alone):
    svc.create("STOCK", stock=10)
    problem(svc.add("STOCK", 5), 400, "bad_request", "Idempotency-Key")
    first = svc.add("STOCK", 5, "delivery-1")
    assert first.status_code == 200 and first.json() == {"product_id": "STOCK", "delta": 5, "stock": 15}
    assert "Idempotency-Replayed" not in first.headers
    again = svc.add("STOCK", 5, "delivery-1")
    assert again.json() == first.json() and again.headers["Idempotency-Replayed"] == "true"
    problem(svc.add("STOCK", 6, "delivery-1"), 422, "idempotency_key_reused")
    short = problem(svc.add("STOCK", -16, "loss"), 409, "insufficient_stock")
    assert (short["product_id"], short["available"], short["requested"]) == ("STOCK", 15, 16)
    assert svc.add("STOCK", -15, "loss").status_code == 200, "a refusal does not use the key up"
    assert svc.get("/api/products/STOCK").json()["in_stock"] is False
    alone.balance()


@pytest.mark.parametrize("body", [{}, {"delta": 0}, {"delta": 1.5}, {"delta": "1"}, {"delta": 10**10}])
def test_bad_deltas(svc, body):
    answer = svc.call("POST", "/api/products/X/stock", body, {"Idempotency-Key": "k"})
    problem(answer, 400, "bad_request", "delta")


def test_concurrent_deltas_under_one_key(svc, alone):
    svc.create("TWINS", stock=0)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: svc.add("TWINS", 1, f"k{n % 4}"), range(32)))
    assert {a.status_code for a in answers} == {200}
    assert sum("Idempotency-Replayed" not in a.headers for a in answers) == 4
    assert svc.stock_of("TWINS") == 4
    alone.balance()


def test_stock_has_a_ceiling(svc):
    svc.create("CEILING", stock=10**12)
    problem(svc.add("CEILING", 1, "k"), 422, "stock_too_large")
