"""Demo data, through the public API only.  Loading it again changes nothing.

Idempotency keys make a load that was cut short safe to repeat at once.  Keys are
kept for a limited time only, so orders are also compared with those that a user
already has: an order of the same total is the same demo order.
"""

import json
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from . import programs
from .api import Api
from .layout import ROOT
from .ui import StackError

DEMO, ADMIN = "demo@example.com", "admin@example.com"
MOST_PAGES = 20


def _data():
    text = (ROOT / "tools" / "demo-data.json").read_text(encoding="utf-8")
    return json.loads(text)


def _password(layout, email):
    return layout.secret(f"login-{email.partition('@')[0]}")


def _login(api, layout, email):
    """A token, or None when there is no such account (or with another password)."""
    body = {"email": email, "password": _password(layout, email)}
    answer = api.must("POST", "/api/auth/login", body, allow=(401, 403, 404))
    return answer and answer["access_token"]


def _register(api, layout, user):
    body = {**user, "password": _password(layout, user["email"])}
    return api.must("POST", "/api/auth/register", body, allow=(409,))


def _create_admin(plan):
    """The first admin cannot be made by HTTP; its password goes in by stdin."""
    if not plan.instances.get("user-svc"):
        raise StackError("an admin can only be made together with user-svc")
    env = programs.environment(plan, "user-svc", plan.instances["user-svc"][0], 0)
    command = [str(plan.binary("user-svc")), "--create-admin", ADMIN, "Admin"]
    password = _password(plan.layout, ADMIN) + "\n"
    done = subprocess.run(
        command, env=env, cwd=ROOT, input=password, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"user-svc --create-admin failed:\n{done.stdout}{done.stderr}")


def _gateway(plan, token=None):
    return Api(plan.url(plan.instances["gateway"][0]), token)


def accounts(plan, progress):
    """The demo customer (the very first account: user 1) and an admin."""
    api, layout = _gateway(plan), plan.layout
    known = plan.store.data.setdefault("logins", {})
    if not _login(api, layout, DEMO):
        demo = next(user for user in _data()["users"] if user["email"] == DEMO)
        if _register(api, layout, demo) is None:
            raise StackError(f"{DEMO} exists with another password; use a new --dir")
    token = _login(api, layout, ADMIN)
    if not token:
        _create_admin(plan)
        token = _login(api, layout, ADMIN)
    if not token:
        raise StackError(f"cannot sign in as {ADMIN}")
    if set(known) != {"demo", "admin"}:
        ids = _user_ids(Api(api.base, token))
        known.update(demo=ids[DEMO], admin=ids[ADMIN])
        plan.store.save()
        progress.say("demo and admin accounts made")


def logins(plan):
    """For the JSON: who can sign in, and how."""
    names = {"demo": DEMO, "admin": ADMIN}
    return {
        name: {
            "email": names[name],
            "password": _password(plan.layout, names[name]),
            "user_id": user_id,
        }
        for name, user_id in plan.store.data.get("logins", {}).items()
    }


def _user_ids(api):
    users = api.pages("/api/users", "users", MOST_PAGES)
    return {user["email"]: user["user_id"] for user in users}


def _load_users(api, layout, users):
    """Registers who is missing, one after the other so that ids follow the file."""
    ids = _user_ids(api)
    missing = [user for user in users if user["email"] not in ids]
    for user in missing:
        _register(api, layout, user)
    return (_user_ids(api) if missing else ids), len(missing)


def _load_products(api, products):
    there = {p["product_id"] for p in api.pages("/api/products", "products", MOST_PAGES)}
    missing = [p for p in products if p["product_id"] not in there]

    def add(product):
        api.must("POST", "/api/products", product, allow=(409,))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, missing))
    return len(missing)


def _cents(amount):
    return round(amount * 100)


def _missing_orders(api, user_id, orders, prices):
    """Which of these demo orders the user does not have yet."""
    there = api.pages(f"/api/orders?user_id={user_id}", "orders", MOST_PAGES)
    if len(there) >= MOST_PAGES * 100:
        return []  # a much used account; its first orders are the demo orders
    have = Counter(_cents(order["total_price"]) for order in there)
    missing = []
    for number, order in orders:
        total = sum(prices[i["product_id"]] * i["quantity"] for i in order["items"])
        if have[total]:
            have[total] -= 1
        else:
            missing.append((number, order))
    return missing


def _load_orders(api, ids, data):
    """Places what is missing; returns user id -> number of orders placed now."""
    prices = {p["product_id"]: _cents(p["price"]) for p in data["products"]}
    placed = Counter()
    numbered = list(enumerate(data["orders"], 1))
    for email in dict.fromkeys(order["email"] for order in data["orders"]):
        user_id = ids[email]
        mine = [(n, order) for n, order in numbered if order["email"] == email]
        for number, order in _missing_orders(api, user_id, mine, prices):
            body = {"user_id": user_id, "items": order["items"]}
            api.must("POST", "/api/orders", body, key=f"demo-order-{number}")
            placed[user_id] += 1
    return placed


def _wait_analytics(api, placed):
    """Until the live totals have every order that was placed."""
    deadline = time.monotonic() + 60
    for user_id, count in placed.items():
        while True:
            status, answer = api.call("GET", f"/api/analytics/users/{user_id}")
            if status == 200 and answer["total_orders"] >= count:
                break
            if time.monotonic() > deadline:
                raise StackError(f"the orders of user {user_id} do not reach the analytics")
            time.sleep(0.05)


def load(plan, progress):
    data = _data()
    token = _login(_gateway(plan), plan.layout, ADMIN)
    api = _gateway(plan, token)
    ids, users = _load_users(api, plan.layout, data["users"])
    products = _load_products(api, data["products"])
    placed = _load_orders(api, ids, data)
    _wait_analytics(api, placed)
    if users or products or placed:
        orders = sum(placed.values())
        progress.say(f"demo data: {users} users, {products} products, {orders} orders new")
    else:
        progress.say("demo data is there")
