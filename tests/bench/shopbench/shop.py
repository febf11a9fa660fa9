"""Our stack under load: who buys what, and how to place orders from Python."""

import http.client
import json
import pathlib
import secrets
import subprocess
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pymysql

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = ROOT / "tools" / "stack"
PROGRAMS = ("gateway", "user-svc", "product-svc", "order-svc", "notify-svc", "analytics-svc", "processor")
PRODUCTS, USERS = 1000, 2000
STOCK = 1_000_000_000
# What an orders load hits; users and products are shares of the seeded ones.
LOADS = {
    "many": (USERS, PRODUCTS),
    "hot product": (USERS, 1),
    "hot user": (1, PRODUCTS),
}


class Client:
    """One kept connection."""

    def __init__(self, base, token=None):
        self.conn = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=30)
        self.token = token

    def call(self, method, path, body=None, key=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if key:
            headers["Idempotency-Key"] = key
        self.conn.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.conn.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")

    def order(self, user, product):
        body = {"user_id": user, "product_id": product, "quantity": 1}
        return self.call("POST", "/api/orders", body, key=secrets.token_hex(12))


class Shop:
    """A running stack, by its JSON; `first_user` is the first of the seeded buyers."""

    def __init__(self, path):
        self.json_path = pathlib.Path(path)
        self.refresh()
        self.first_user = self._seed()

    def refresh(self):
        self.json = json.loads(self.json_path.read_text(encoding="utf-8"))

    @property
    def gateway(self):
        return self.json["gateway"]

    @property
    def dir(self):
        return pathlib.Path(self.json["dir"])

    def client(self, token=None):
        return Client(self.gateway, token)

    def buyers(self, load):
        """(first user, last user, number of products) of a load."""
        users, products = LOADS[load]
        return self.first_user, self.first_user + users - 1, products

    def pids(self):
        return {name: [one["pid"] for one in self.json["services"][name]] for name in PROGRAMS}

    def metrics(self, program):
        """The text of /metrics of all its instances."""
        text = ""
        for one in self.json["services"][program]:
            client = Client(one["admin"])
            client.conn.request("GET", "/metrics")
            text += client.conn.getresponse().read().decode()
        return text

    # ---- data ----

    def _seed(self):
        """Makes products and users once; returns the first user's id."""
        token = self._admin()
        self._seed_products(token)
        return self._seed_users()

    def _admin(self):
        login = self.json["logins"]["admin"]
        body = {"email": login["email"], "password": login["password"]}
        status, answer = self.client().call("POST", "/api/auth/login", body)
        if status != 200:
            raise RuntimeError(f"cannot sign in: {status} {answer}")
        return answer["access_token"]

    def _seed_products(self, token):
        if self.client().call("GET", f"/api/products/BENCH-{PRODUCTS:04d}")[0] == 200:
            return

        def some(numbers):
            client = self.client(token)
            for n in numbers:
                product = {"product_id": f"BENCH-{n:04d}", "name": f"Bench product {n}", "category": "bench",
                           "price": 19.90, "stock": STOCK}  # fmt: skip
                status, answer = client.call("POST", "/api/products", product)
                if status not in (201, 409):
                    raise RuntimeError(f"product {n}: {status} {answer}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(some, [range(PRODUCTS - n, 0, -4) for n in range(4)]))

    def _seed_users(self):
        """By SQL: they never sign in, and hashing 2,000 passwords takes minutes."""
        mysql = self.json["mysql"]
        account = mysql["accounts"]["user-svc"]
        password = pathlib.Path(account["password_file"]).read_text(encoding="utf-8").strip()
        with pymysql.connect(
            host=mysql["host"], port=mysql["port"], user=account["user"], password=password,
            database=mysql["databases"]["user-svc"], autocommit=True,
        ) as conn, conn.cursor() as cursor:  # fmt: skip
            find = "SELECT MIN(id), COUNT(*), MAX(id) FROM users WHERE email LIKE 'bench-%%@example.com'"
            cursor.execute(find)
            if not cursor.fetchone()[1]:
                values = ", ".join(
                    f"('Bench {n}', 'bench-{n}@example.com', 'customer', NOW(3), NOW(3))" for n in range(USERS)
                )
                cursor.execute(f"INSERT INTO users (name, email, role, created_at, updated_at) VALUES {values}")
            cursor.execute(find)
            first, count, last = cursor.fetchone()
        if count != USERS or last - first != USERS - 1:
            raise RuntimeError(f"the bench users are not {USERS} in a row; use a new stack")
        return first


def up(folder, build, mode="release", more=()):
    """A stack of one's own in `folder`; returns its JSON's path."""
    path = pathlib.Path(folder) / "shop.json"
    line = [TOOL, "up", "--quiet", "--dir", folder, "--build", build, "--mode", mode, "--json", path, *more]
    subprocess.run(list(map(str, line)), check=True, stdout=subprocess.DEVNULL)
    return path


def start(folder, build, mode="release", more=()):
    """The same, as a Shop: with products and buyers."""
    return Shop(up(folder, build, mode, more))


def stop(folder):
    subprocess.run([str(TOOL), "down", "--quiet", "--dir", str(folder)], check=False)
