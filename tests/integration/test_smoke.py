"""The demos, word for word, and what every part of a running stack must show."""

import json
import subprocess
import time
from decimal import Decimal

import pytest
import requests
from shop_stack import until

DEMO_ORDERS, DEMO_SUM = 6, Decimal("31399.86")
LAPTOP_PRICE = 1999.99


def curl(*args):
    done = subprocess.run(["curl", "-sS", "-i", *args], capture_output=True, text=True, check=True)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    return int(head.split()[1]), json.loads(body)


def first_orders(stack):
    """The demo orders are the first that user 1 ever placed."""
    return stack.sql("order-svc", "SELECT total_price FROM orders WHERE user_id = 1 ORDER BY id LIMIT %s", DEMO_ORDERS)


def test_demo_data(stack):
    orders = [row[0] for row in first_orders(stack)]
    assert len(orders) == DEMO_ORDERS and sum(orders) == DEMO_SUM
    assert len(set(orders)) == DEMO_ORDERS
    assert round(sum(orders) / DEMO_ORDERS, 2) == Decimal("5233.31")


def test_demo_user_and_product(stack):
    user = stack.api("GET", "/api/users/1", token="demo").json()
    assert (user["user_id"], user["name"], user["email"]) == (1, "Demo Customer", "demo@example.com")
    laptop = stack.api("GET", "/api/products/LAPTOP001").json()
    assert laptop["price"] == LAPTOP_PRICE
    products = stack.api("GET", "/api/products?limit=100").json()["products"]
    assert len(products) >= 60
    assert len({product["category"] for product in products}) >= 5


def test_order_by_curl_reaches_the_analytics(stack):
    before = stack.totals(1)
    status, order = curl(
        "-X", "POST", f"{stack.gateway}/api/orders", "-H", "Content-Type: application/json",
        "-d", '{"user_id":1,"product_id":"LAPTOP001","quantity":1}',
    )  # fmt: skip
    placed = time.monotonic()
    assert status == 201 and order["total_price"] == LAPTOP_PRICE
    after = until(
        lambda: (now := stack.totals(1)) and now["total_orders"] > before["total_orders"] and now,
        10, "the order in the analytics",
    )  # fmt: skip
    print(f"visible after {(time.monotonic() - placed) * 1000:.0f} ms")
    assert after["total_spent"] == pytest.approx(before["total_spent"] + LAPTOP_PRICE)
    top = stack.api("GET", "/api/analytics/flink/top-users").json()["top_users"]
    mine = next(user for user in top if user["user_id"] == 1)
    assert mine["total_orders"] >= after["total_orders"] and mine["customer_tier"] == "VIP"


@pytest.mark.parametrize(
    "path, field",
    [
        ("/api/users", "users"),
        ("/api/products", "products"),
        ("/api/orders?user_id=1", "orders"),
        ("/api/notifications?user_id=1", "notifications"),
        ("/api/analytics/flink/top-users", "top_users"),
        ("/api/analytics/windows", "windows"),
    ],
)
def test_lists_answer(stack, path, field):
    answer = stack.api("GET", path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    assert isinstance(answer.json()[field], list)
    # What follows from the orders of the demo data comes a moment after them.
    until(lambda: stack.api("GET", path).json()[field], 20, field)


def test_totals_agree_with_the_database(stack):
    user = stack.sql("user-svc", "SELECT id FROM users WHERE email = 'ada@example.com'")[0][0]
    count, total = stack.sql(
        "order-svc", "SELECT COUNT(*), SUM(total_price) FROM orders WHERE user_id = %s AND status = 'placed'", user
    )[0]
    until(lambda: stack.totals(user)["total_orders"] == count, 10, "all orders of the user")
    assert stack.totals(user)["total_spent"] == pytest.approx(float(total))


def test_loading_the_demo_data_again_changes_nothing(stack):
    """Also when all idempotency keys are forgotten, as after some days."""
    counts = "SELECT (SELECT COUNT(*) FROM orders), (SELECT COUNT(*) FROM outcomes)"
    stack.sql("order-svc", "DELETE FROM order_keys WHERE idempotency_key LIKE 'demo-order-%%'", write=True)
    before = stack.sql("order-svc", counts)
    users = stack.sql("user-svc", "SELECT COUNT(*) FROM users")
    products = stack.sql("product-svc", "SELECT COUNT(*) FROM products")
    stack.tool("seed")
    assert stack.sql("order-svc", counts) == before
    assert stack.sql("user-svc", "SELECT COUNT(*) FROM users") == users
    assert stack.sql("product-svc", "SELECT COUNT(*) FROM products") == products


def test_one_mail_an_order(stack):
    user, token = stack.new_user("Mail Reader")
    product = stack.new_product(price=12.50)
    order = stack.order(user, product, 2, token=token).json()
    email = stack.sql("user-svc", "SELECT email FROM users WHERE id = %s", user)[0][0]
    mails = until(lambda: stack.mails(email), 20, "the mail")
    assert str(order["order_id"]) in mails[0]["subject"] + mails[0]["body"]
    time.sleep(1)
    assert len(stack.mails(email)) == 1
    listed = stack.api("GET", f"/api/notifications?user_id={user}", token=token).json()["notifications"]
    assert len(listed) == 1


def test_every_program_is_healthy(stack):
    for program, instances in stack["services"].items():
        for one in instances:
            if not one.get("admin"):
                continue
            for path in ("healthz", "readyz", "version", "metrics"):
                answer = requests.get(f"{one['admin']}/{path}", timeout=5)
                assert answer.status_code == 200, (program, path, answer.text)


def test_frontend_serves_the_page_and_the_api(stack):
    page = requests.get(stack.frontend + "/", timeout=5)
    assert page.status_code == 200 and "text/html" in page.headers["Content-Type"]
    assert requests.get(stack.frontend + "/api/products", timeout=5).json()["products"]


def test_live_stream_through_nginx(stack):
    user, token = stack.new_user("Stream Watcher")
    product = stack.new_product(price=50_000.00)
    with requests.get(f"{stack.frontend}/api/analytics/stream", stream=True, timeout=20) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        lines = stream.iter_lines(decode_unicode=True)
        next(lines)
        assert stack.order(user, product, token=token).status_code == 201
        deadline = time.monotonic() + 15
        for line in lines:
            assert time.monotonic() < deadline, "the order did not appear in the stream"
            if line.startswith("data:") and f'"user_id":{user}' in line.replace(" ", ""):
                break


def test_no_secret_in_a_log_or_an_environment(stack):
    secrets = [path.read_text().strip() for path in (stack.dir / "secrets").iterdir()]
    for log in (stack.dir / "log").glob("*.log"):
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log.name
    for instances in stack["services"].values():
        for one in instances:
            with open(f"/proc/{one['pid']}/environ", encoding="utf-8", errors="replace") as file:
                assert not any(secret in file.read() for secret in secrets)
