"""The copy of the catalogue that reads are answered from: how fresh, how large, how long."""

import contextlib
import time

import pytest
from db_proxy import GoneProxy
from product_alone import ProductAlone, until

POLL_MS = 250
PROMISE_S = 2 * POLL_MS / 1000  # of changes through other instances
SLACK_S = 1.0  # of a busy machine
EXACT = {"Cache-Control": "no-cache"}
NEVER_MS = 60000  # a poll that does not come during a test
BODY = {"name": "Lamp", "category": "home", "price": 5}


@pytest.fixture
def alone(stack, tmp_path):
    alone = ProductAlone(stack, tmp_path)
    yield alone
    alone.close()


def loaded(svc):
    until(lambda: svc.process.metric("shop_catalogue_age_seconds") is not None)
    until(lambda: svc.get("/api/products").status_code == 200)
    return svc


def counts(svc):
    names = {kind: f'from="{kind}"' for kind in ("copy", "next_look", "stale_copy", "database")}
    found = {kind: svc.process.metric("shop_catalogue_reads_total", label) for kind, label in names.items()}
    found["looks"] = svc.process.metric("shop_catalogue_looks_total", 'result="ok"')
    return found


def since(svc, before):
    return {kind: n - before[kind] for kind, n in counts(svc).items()}


def within_promise(check):
    """True soon enough, by the clock of this process."""
    deadline = time.monotonic() + PROMISE_S + SLACK_S
    while not check():
        assert time.monotonic() < deadline, "later than promised"
        time.sleep(0.01)


def product(svc, product_id, headers=None):
    return svc.get(f"/api/products/{product_id}", headers)


def test_reads_need_no_database(alone):
    svc = loaded(alone.start(CATALOGUE_POLL_MS=NEVER_MS))
    svc.create("A", stock=3)
    svc.create("B")
    assert product(svc, "A").json()["stock"] == 3
    before = counts(svc)
    queries = svc.process.metric("shop_db_query_seconds_count")
    etag = product(svc, "A").headers["ETag"]
    for _ in range(50):
        assert product(svc, "A").json()["stock"] == 3
        assert product(svc, "A", {"If-None-Match": etag}).status_code == 304
        assert [p["product_id"] for p in svc.get("/api/products").json()["products"]] == ["A", "B"]
    assert since(svc, before)["copy"] >= 150 and since(svc, before)["database"] == 0
    assert svc.process.metric("shop_db_query_seconds_count") - queries < 40, "workers did other things only"


def test_own_changes_show_at_once(alone):
    svc = loaded(alone.start(CATALOGUE_POLL_MS=NEVER_MS))
    for n in range(20):
        etag = svc.create(f"OWN{n}", stock=n).headers["ETag"]
        path = f"/api/products/OWN{n}"
        assert svc.get(path).json()["stock"] == n
        changed = svc.call("PUT", path, {**BODY, "name": f"new {n}"}, {"If-Match": etag})
        read = svc.get(path, {"If-None-Match": etag})
        assert read.status_code == 200 and read.json() == changed.json()
        assert read.headers["ETag"] == changed.headers["ETag"] != etag
        assert f"new {n}" in [p["name"] for p in svc.get("/api/products", limit=100).json()["products"]]
        assert svc.call("DELETE", path, headers={"If-Match": read.headers["ETag"]}).status_code == 204
        assert svc.get(path).status_code == 404
        assert svc.get("/api/products").json()["products"] == []


def test_others_see_changes_in_time(alone):
    one, two = loaded(alone.start()), loaded(alone.start())
    etag = one.create("X", stock=9).headers["ETag"]
    assert product(two, "X").status_code == 200, "what the copy does not know is looked up"
    within_promise(lambda: two.get("/api/products").json()["products"])
    page = two.get("/api/products")
    changed = one.call("PUT", "/api/products/X", BODY, {"If-Match": etag})
    within_promise(lambda: product(two, "X", {"If-None-Match": etag}).status_code == 200)
    assert product(two, "X").headers["ETag"] == changed.headers["ETag"]
    assert product(two, "X").json()["price"] == 5
    assert two.get("/api/products", {"If-None-Match": page.headers["ETag"]}).status_code == 200
    assert two.get("/api/products").headers["ETag"] == one.get("/api/products").headers["ETag"]
    assert one.call("DELETE", "/api/products/X", headers={"If-Match": "*"}).status_code == 204
    within_promise(lambda: product(two, "X").status_code == 404)
    assert two.get("/api/products").json()["products"] == []


def test_a_stock_change_that_nobody_knows_of_is_not_called_undone(alone):
    """The database carries it out and is gone before it says so; asking again under the key tells."""
    commits = []
    proxy = GoneProxy(alone.mysql["port"], lambda: commits.pop() if commits else None)
    try:
        svc = alone.start(DB_PORT=proxy.port, DB_POOL="1")
        svc.create("DOUBT", stock=1)
        commits.append("after")
        answer = svc.add("DOUBT", 100, "delivery")
        assert (answer.status_code, answer.json()["code"]) == (504, "timeout"), answer.text
        assert proxy.counts["after"] == 1 and alone.one("SELECT stock FROM products WHERE id = 'DOUBT'") == 101
        proxy.accept()
        until(svc.process.ready, 20)
        again = svc.add("DOUBT", 100, "delivery")
        assert (again.status_code, again.json()["stock"]) == (200, 101)
        assert svc.process.stop() == 0
    finally:
        proxy.close()


def test_stock_is_fresh(alone):
    one, two = loaded(alone.start()), loaded(alone.start())
    one.create("S", stock=100)
    within_promise(lambda: two.get("/api/products").json()["products"])
    for n in range(1, 6):
        reserved = one.reserve([("S", 10)])
        assert reserved.status_code == 200
        assert product(one, "S").json()["stock"] == 100 - 10 * n, "an own sale shows at once"
        assert two.stock_of("S") == 100 - 10 * n, "no-cache is exact everywhere"
        within_promise(lambda left=100 - 10 * n: two.get("/api/products").json()["products"][0]["stock"] == left)
    assert one.add("S", 950, "delivery").json()["stock"] == 1000
    assert product(one, "S").json()["stock"] == 1000
    within_promise(lambda: product(two, "S").json()["stock"] == 1000)


def test_many_sales_do_not_become_many_looks(alone):
    svc = loaded(alone.start(CATALOGUE_POLL_MS=NEVER_MS))
    svc.create("HOT", stock=1000)
    before = counts(svc)
    for _ in range(60):
        assert svc.reserve([("HOT", 1)]).status_code == 200
        assert product(svc, "HOT").status_code == 200
    assert since(svc, before)["looks"] <= 9 and since(svc, before)["copy"] >= 50
    assert product(svc, "HOT").json()["stock"] > 940, "older than exact, as said"
    assert svc.stock_of("HOT") == 940


def test_a_late_commit_is_not_missed(alone):
    """Numbers commit in their order, so what commits late is not behind what was seen."""
    svc = loaded(alone.start())
    svc.create("LATE")
    svc.create("OTHER")
    with alone.connect() as slow, slow.cursor() as cursor:
        cursor.execute(f"USE {alone.name}")
        slow.begin()
        cursor.execute("UPDATE catalogue_version SET version = version + 1 WHERE id = 1")
        cursor.execute(
            "UPDATE products SET name = 'late', version = version + 1, updated_at = '2020-01-01',"
            " changed = (SELECT version FROM catalogue_version WHERE id = 1) WHERE id = 'LATE'"
        )
        time.sleep(2 * PROMISE_S)
        assert product(svc, "LATE").json()["name"] != "late"
        slow.commit()
    within_promise(lambda: product(svc, "LATE").json()["name"] == "late")
    assert svc.call("PUT", "/api/products/OTHER", BODY, {"If-Match": '"1"'}).json()["name"] == "Lamp"
    assert product(svc, "OTHER").json()["name"] == "Lamp"


@contextlib.contextmanager
def locked_out(alone):
    """The service's database account cannot be used."""
    account = f"'{alone.name}'@'127.0.0.1'"
    with alone.connect() as db, db.cursor() as cursor:
        cursor.execute(f"ALTER USER {account} ACCOUNT LOCK")
        alone.cut_connections()
        yield
        cursor.execute(f"ALTER USER {account} ACCOUNT UNLOCK")


def test_without_the_database(alone):
    svc = loaded(alone.start(CATALOGUE_STALE_MS=4000))
    etag = svc.create("AWAY", stock=4).headers["ETag"]
    assert "Age" not in product(svc, "AWAY").headers
    with locked_out(alone):
        went = time.monotonic()
        until(lambda: "Age" in product(svc, "AWAY").headers, 3)
        answer = product(svc, "AWAY")
        assert answer.status_code == 200 and answer.json()["stock"] == 4
        assert answer.headers["ETag"] == etag and answer.headers["Warning"].startswith("110 ")
        assert product(svc, "AWAY", {"If-None-Match": etag}).status_code == 304
        page = svc.get("/api/products")
        assert page.status_code == 200 and int(page.headers["Age"]) <= 5 and len(page.json()["products"]) == 1
        assert product(svc, "AWAY", EXACT).status_code == 503, "who wants no copy gets none"
        assert product(svc, "NEVER").status_code == 503, "perhaps there is one"
        until(lambda: product(svc, "AWAY").status_code == 503, 8)
        assert time.monotonic() - went >= 3.5
        assert svc.process.metric("shop_catalogue_age_seconds") >= 3.5
    until(lambda: product(svc, "AWAY").status_code == 200, 15)
    until(lambda: "Age" not in product(svc, "AWAY").headers, 10)
    before = counts(svc)
    until(lambda: product(svc, "AWAY").json()["stock"] == 4 and since(svc, before)["copy"] > 0, 10)


def test_a_database_that_hangs_holds_nobody_long(alone):
    svc = loaded(alone.start())
    svc.create("HANG", stock=4)
    with alone.connect() as db, db.cursor() as cursor:
        cursor.execute(f"USE {alone.name}")
        cursor.execute("LOCK TABLES catalogue_version WRITE")
        for _ in range(30):
            asked = time.monotonic()
            assert product(svc, "HANG").json()["stock"] == 4
            assert time.monotonic() - asked < 1 + 2 * POLL_MS / 1000 + SLACK_S
            time.sleep(0.1)
        assert "Age" in product(svc, "HANG").headers
        cursor.execute("UNLOCK TABLES")
    until(lambda: "Age" not in product(svc, "HANG").headers, 15)


def test_a_restored_database_is_read_again(alone):
    svc = loaded(alone.start())
    svc.create("KEPT")
    svc.create("UNDONE")
    alone.sql("UPDATE catalogue_version SET version = 1")
    alone.sql("DELETE FROM products WHERE id = 'UNDONE'")
    alone.sql("UPDATE products SET name = 'before', version = 1 WHERE id = 'KEPT'")
    within_promise(lambda: product(svc, "UNDONE").status_code == 404)
    within_promise(lambda: product(svc, "KEPT").json()["name"] == "before")
    assert [p["name"] for p in svc.get("/api/products").json()["products"]] == ["before"]
    before = counts(svc)
    until(lambda: product(svc, "KEPT").json()["name"] == "before" and since(svc, before)["copy"] > 0, 5)
    before = counts(svc)
    time.sleep(1)
    assert since(svc, before)["looks"] <= 1000 / POLL_MS + 2, "one load, not one after another"


def insert_many(alone, first, last):
    """As another instance that imports a catalogue would, in one transaction."""
    with alone.connect() as db, db.cursor() as cursor:
        cursor.execute(f"USE {alone.name}")
        db.begin()
        for n in range(first, last):
            cursor.execute("UPDATE catalogue_version SET version = version + 1 WHERE id = 1")
            cursor.execute(
                "INSERT INTO products (id, name, description, category, price, stock, version,"
                " created_at, updated_at, changed) VALUES (%s, 'Many', '', 'many', 1, %s, 1,"
                " UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), (SELECT version FROM catalogue_version))",
                (f"M{n:04}", n),
            )
        db.commit()


def pages(svc, limit):
    seen, cursor = [], {}
    while cursor is not None:
        page = svc.get("/api/products", limit=limit, **cursor).json()
        seen += [(p["product_id"], p["stock"]) for p in page["products"]]
        cursor = page["next_cursor"] and {"cursor": page["next_cursor"]}
    return seen


def test_parts_make_the_whole(alone):
    """More products than one look reads: at the start, and as changes."""
    insert_many(alone, 0, 430)
    svc = loaded(alone.start())
    until(lambda: svc.process.metric("shop_catalogue_products") == 430)
    assert pages(svc, 100) == [(f"M{n:04}", n) for n in range(430)]
    insert_many(alone, 430, 1000)
    until(lambda: svc.process.metric("shop_catalogue_products") == 1000)
    before = counts(svc)
    assert pages(svc, 7) == [(f"M{n:04}", n) for n in range(1000)]
    assert since(svc, before)["database"] == 0


def test_own_changes_show_at_once_among_many(alone):
    """More changes than one look reads, and ours is the last of them."""
    svc = loaded(alone.start(CATALOGUE_POLL_MS=NEVER_MS))
    for n in range(3):
        etag = svc.create(f"OWN{n}").headers["ETag"]
        assert product(svc, f"OWN{n}").status_code == 200
        insert_many(alone, 1500 * n, 1500 * (n + 1))
        changed = svc.call("PUT", f"/api/products/OWN{n}", {**BODY, "name": "new"}, {"If-Match": etag})
        assert changed.status_code == 200
        assert product(svc, f"OWN{n}").headers["ETag"] == changed.headers["ETag"] != etag


def test_a_catalogue_too_large_is_read_from_the_database(alone):
    svc = loaded(alone.start(CATALOGUE_MAX_KIB=20, CATALOGUE_POLL_MS=20))
    for n in range(40):
        svc.create(f"BIG{n:02}", stock=n, description="x" * 900)
    until(lambda: svc.process.metric("shop_catalogue_products") == 0)
    before = counts(svc)
    assert product(svc, "BIG07").json()["stock"] == 7
    assert len(svc.get("/api/products", limit=100).json()["products"]) == 40
    assert since(svc, before)["database"] == 2
    assert "CATALOGUE_MAX_KIB" in svc.process.text()
    assert svc.process.metric("shop_catalogue_bytes") == 0


def test_without_a_copy(alone):
    svc = alone.start(CATALOGUE_MAX_KIB=0)
    etag = svc.create("PLAIN", stock=2).headers["ETag"]
    assert product(svc, "PLAIN").json()["stock"] == 2
    assert svc.call("PUT", "/api/products/PLAIN", BODY, {"If-Match": etag}).json()["name"] == "Lamp"
    assert product(svc, "PLAIN").json()["name"] == "Lamp"
    assert svc.process.metric("shop_catalogue_looks_total") == 0
