"""AUTH_MODE=required from end to end: own data only, administrators, forged tokens."""

import base64
import json

import pytest


def code(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    return answer.json()["code"]


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/api/users"),
        ("GET", "/api/users/1"),
        ("GET", "/api/orders?user_id=1"),
        ("GET", "/api/orders/1"),
        ("POST", "/api/orders"),
        ("POST", "/api/orders/1/cancel"),
        ("GET", "/api/notifications?user_id=1"),
        ("GET", "/api/analytics/users/1"),
        ("GET", "/api/analytics/flink/top-users"),
        ("GET", "/api/analytics/summary"),
        ("GET", "/api/analytics/stream"),
        ("POST", "/api/products"),
    ],
)
def test_nothing_without_a_token(closed, method, path):
    body = {"user_id": 1, "product_id": "LAPTOP001", "quantity": 1} if method == "POST" else None
    assert code(closed.api(method, path, json=body), 401) == "unauthorized"


def test_the_catalog_is_open(closed):
    assert closed.api("GET", "/api/products").status_code == 200
    assert closed.api("GET", "/api/products/LAPTOP001").status_code == 200


def test_own_data_only(closed):
    user, token = closed.new_user()
    assert closed.order(user, "LAPTOP001", token=token).status_code == 201
    order = closed.api("GET", f"/api/orders?user_id={user}", token=token).json()["orders"][0]["order_id"]
    assert closed.api("GET", f"/api/orders/{order}", token=token).status_code == 200
    assert closed.api("GET", f"/api/users/{user}", token=token).status_code == 200
    assert closed.api("GET", f"/api/analytics/users/{user}", token=token).status_code == 200

    assert closed.order(1, "LAPTOP001", token=token).status_code == 403
    for path in (
        "/api/users/1",
        "/api/orders?user_id=1",
        "/api/notifications?user_id=1",
        "/api/analytics/users/1",
        "/api/users",
        "/api/analytics/flink/top-users",
        "/api/analytics/summary",
    ):
        assert closed.api("GET", path, token=token).status_code == 403, path
    assert closed.api("GET", "/api/orders/1", token=token).status_code == 404
    assert closed.api("POST", "/api/orders/1/cancel", token=token).status_code == 404


def test_administrators_see_all(closed):
    for path in (
        "/api/users",
        "/api/users/1",
        "/api/orders?user_id=1",
        "/api/notifications?user_id=1",
        "/api/analytics/users/1",
        "/api/analytics/flink/top-users",
        "/api/analytics/windows",
    ):
        assert closed.api("GET", path, token="admin").status_code == 200, path


def forge(token, **claims):
    head, body, signature = token.split(".")
    text = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**text, **claims}).encode()).rstrip(b"=").decode()
    return f"{head}.{changed}.{signature}"


def unsigned(token):
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


def test_forged_tokens_are_refused_in_both_modes(closed, stack):
    for shop in (closed, stack):
        _, token = shop.new_user()
        for bad in (forge(token, role="admin"), forge(token, sub="1"), unsigned(token), "x", token[:-8] + "AAAAAAAA"):
            assert code(shop.api("GET", "/api/users/1", token=bad), 401) == "invalid_token", bad
            assert shop.api("GET", "/api/products", token=bad).status_code == 401


def test_a_token_still_counts_in_demo_mode(stack):
    _, token = stack.new_user()
    assert stack.order(1, "LAPTOP001", token=token).status_code == 403


def test_services_prove_themselves(closed):
    path = "/internal/users/1"
    assert closed.internal("GET", path, "order-svc").status_code == 200
    assert closed.internal("GET", path, "order-svc", secret="wrong" * 8).status_code == 401
    assert closed.internal("GET", path, "analytics-svc").status_code == 403
    assert closed.api("GET", path).status_code == 404  # not on the public listener


def test_wrong_password_and_unknown_user_look_the_same(closed):
    answers = [
        closed.api("POST", "/api/auth/login", json={"email": email, "password": "not this one"})
        for email in ("demo@example.com", "nobody@example.com")
    ]
    assert {code(answer, 401) for answer in answers} == {"invalid_credentials"}
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
