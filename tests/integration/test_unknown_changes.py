"""What may have been done is never answered with 503, which says that nothing was done: connections to the
database break at every moment of a change."""

import contextlib
import secrets

import pytest
import requests
from alone import Process, ServiceAlone
from db_proxy import CutOnce, DbProxy
from fake_shop import FakeShop
from order_alone import OrderAlone
from shop_stack import until

NOTHING_DONE = {"unavailable", "database_unavailable", "database_busy"}  # of docs/API.md
NOWHERE = "127.0.0.1:1"  # for what is not asked here
PASSWORD = "a long password"


class UserAlone(ServiceAlone):
    def __init__(self, stack, folder):
        self.key = stack.env("user-svc")["SIGNING_KEY_FILE"]  # to make one takes long
        super().__init__(stack, folder, "user-svc", 1)

    def settings(self):
        return {"SIGNING_KEY_FILE": self.key, "PASSWORD_MEMORY_KIB": "8", "PASSWORD_PASSES": "1"}

    def new_user(self):
        """(id, e-mail)"""
        email = f"t-{secrets.token_hex(6)}@example.com"
        self.sql(
            "INSERT INTO users (name, email, role, password_hash, created_at, updated_at)"
            " VALUES ('Test', %s, 'customer', 'old', NOW(3), NOW(3))", email,
        )  # fmt: skip
        return self.one("SELECT id FROM users WHERE email = %s", email), email


class NotifyAlone(ServiceAlone):
    def __init__(self, stack, folder):
        super().__init__(stack, folder, "notify-svc", 1)

    def settings(self):
        return {"CONSUMER_GROUP": self.name, "INTERNAL_URL": f"http://{NOWHERE}", "SMTP_URL": f"smtp://{NOWHERE}"}


# ---- changes: each makes (method, path, body) of a request, and a question whether it was done ----


def registration(alone, _):
    email = f"t-{secrets.token_hex(6)}@example.com"
    body = {"name": "Test", "email": email, "password": PASSWORD}
    return ("POST", "/api/auth/register", body), lambda: alone.one("SELECT COUNT(*) FROM users WHERE email = %s", email)


def creation(alone, svc):
    (method, _, body), done = registration(alone, svc)
    return (method, "/api/users", {**body, "role": "admin"}), done


def password(alone, _):
    user, _ = alone.new_user()
    hashed = "SELECT password_hash <> 'old' FROM users WHERE id = %s"
    return ("PATCH", f"/api/users/{user}", {"password": PASSWORD}), lambda: alone.one(hashed, user)


def deletion(alone, _):
    user, _ = alone.new_user()
    return ("DELETE", f"/api/users/{user}", None), lambda: alone.one("SELECT email IS NULL FROM users WHERE id = %s", user)


def message(alone, _):
    text = secrets.token_hex(8)
    body = {"user_id": 1, "subject": text, "body": text}
    stored = "SELECT COUNT(*) FROM notifications WHERE subject = %s"
    return ("POST", "/api/notifications", body), lambda: alone.one(stored, text)


def cancellation(alone, svc):
    order = svc.post(body={"user_id": 1, "product_id": "MANY", "quantity": 1}).json()["order_id"]
    until(lambda: alone.one("SELECT COUNT(*) FROM outbox") == 0, 15, "an empty outbox")
    cancelled = "SELECT status = 'cancelled' FROM orders WHERE id = %s"
    return ("POST", f"/api/orders/{order}/cancel", None), lambda: alone.one(cancelled, order)


OF_USERS = [registration, creation, password, deletion]
CHANGES = [*OF_USERS, message, cancellation]


@pytest.fixture
def alone(change, stack, tmp_path):
    with contextlib.ExitStack() as parts:
        if change in OF_USERS:
            one = UserAlone(stack, tmp_path)
        elif change == message:
            one = NotifyAlone(stack, tmp_path)
        else:
            shop = parts.enter_context(contextlib.closing(FakeShop({"MANY": 1000})))
            one = OrderAlone(stack, tmp_path, shop)
        yield parts.enter_context(contextlib.closing(one))


def start(alone, proxy):
    kind = {"DB_MAX_CONNS": 1, "DB_PORT": proxy.port}
    return alone.start(**kind) if isinstance(alone, OrderAlone) else alone.run(Process, **kind)


def ask(alone, svc, method, path, body=None):
    """As a service of ours."""
    headers = {"Authorization": f"Service order-svc:{alone.secret}"}
    return requests.request(method, svc.url + path, json=body, headers=headers, timeout=20)


def reads(alone, svc):
    """Is its connection to the database there (again)?"""
    path = {"user-svc": "users", "notify-svc": "notifications", "order-svc": "orders"}[alone.program]
    return ask(alone, svc, "GET", f"/api/{path}").status_code == 200


by_name = pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
both_sides = pytest.mark.parametrize("where", ["before", "after"])


@by_name
@both_sides
def test_a_connection_lost_at_any_moment(change, where, alone):
    with contextlib.closing(CutOnce(alone.mysql["port"])) as proxy:
        svc = start(alone, proxy)
        for number in range(1, 40):
            request, done = change(alone, svc)
            until(lambda: reads(alone, svc), 20, "the database")
            proxy.arm(number, where)
            answer = ask(alone, svc, *request)
            was_cut = proxy.disarm()
            if answer.status_code < 300:
                assert done()
            elif answer.status_code != 504:
                assert (answer.status_code, done()) == (503, 0), (number, answer.text)
                assert answer.json()["code"] in NOTHING_DONE
            if not was_cut:
                break
        assert 3 < number < 39


@by_name
@both_sides
def test_a_connection_lost_during_commit(change, where, alone):
    armed = []
    with contextlib.closing(DbProxy(alone.mysql["port"], lambda: armed.pop() if armed else None)) as proxy:
        svc = start(alone, proxy)
        request, done = change(alone, svc)
        until(lambda: reads(alone, svc), 20, "the database")
        armed.append(where)
        answer = ask(alone, svc, *request)
        assert (answer.status_code, answer.json()["code"]) == (504, "timeout"), answer.text
        assert proxy.counts[where] == 1 and done() == (where == "after")
