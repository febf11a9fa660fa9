"""The demo data of a shop, through its public API only.  Loading it again changes nothing.

Idempotency keys make a load that was cut short safe to repeat at once.  Keys are
kept for a limited time only, so orders are also compared with those that a user
already has: an order of the same total is the same demo order.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from .api import Api
from .ui import StackError

DEMO, ADMIN = "demo@example.com", "admin@example.com"
MOST_PAGES = 20


class Demo:
    """`data` as in tools/demo-data.json; `password(email)` gives an account's password."""

    def __init__(self, gateway, data, password):
        self.gateway = gateway
        self.data = data
        self.password = password

    def login(self, email):
        """A token, or None when there is no such account (or with another password)."""
        body = {"email": email, "password": self.password(email)}
        answer = Api(self.gateway).must("POST", "/api/auth/login", body, allow=(401, 403, 404))
        return answer and answer["access_token"]

    def register(self, user):
        """None when the address is taken."""
        body = {**user, "password": self.password(user["email"])}
        return Api(self.gateway).must("POST", "/api/auth/register", body, allow=(409,))

    def customer(self):
        """The demo customer, whom the page shows: in a new shop the first account, user 1."""
        if self.login(DEMO):
            return
        demo = next(user for user in self.data["users"] if user["email"] == DEMO)
        if self.register(demo) is None:
            raise StackError(f"{DEMO} exists with another password")

    def admin_api(self):
        token = self.login(ADMIN)
        if not token:
            raise StackError(f"cannot sign in as {ADMIN}")
        return Api(self.gateway, token)

    def load(self):
        """Everything; returns what was new: (users, products, orders)."""
        api = self.admin_api()
        ids, users = self._load_users(api)
        products = _load_products(api, self.data["products"])
        placed = _load_orders(api, ids, self.data)
        _wait_analytics(api, placed)
        return users, products, sum(placed.values())

    def _load_users(self, api):
        """Registers who is missing, one after the other so that ids follow the file."""
        ids = user_ids(api)
        missing = [user for user in self.data["users"] if user["email"] not in ids]
        for user in missing:
            self.register(user)
        return (user_ids(api) if missing else ids), len(missing)


def summary(users, products, orders):
    if users or products or orders:
        return f"demo data: {users} users, {products} products, {orders} orders new"
    return "demo data is there"


def user_ids(api):
    users = api.pages("/api/users", "users", MOST_PAGES)
    return {user["email"]: user["user_id"] for user in users}


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
