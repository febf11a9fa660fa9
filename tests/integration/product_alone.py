"""product-svc by itself: a schema and a topic of its own, and in this process the only
thing it asks others for: order-svc's commit-or-fence."""

import json
import re
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from alone import ServiceAlone
from confluent_kafka import Producer
from shop_stack import until

OUTCOME = re.compile(r"^/internal/outcomes/([0-9a-f]{32})$")
PARTITIONS = 3


class FakeOrders:
    """Commits or fences as order-svc does: the first answer stands."""

    def __init__(self):
        self.outcomes, self.asked, self.refused, self.authorizations = {}, [], [], set()
        self.broken = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path, authorization):
        match = OUTCOME.match(path)
        if not match:
            return 200, {"keys": []}
        if self.broken:
            self.refused.append(match[1])
            return 503, {"code": "unavailable", "detail": "not now"}
        self.asked.append(match[1])
        self.authorizations.add(authorization)
        outcome = self.outcomes.setdefault(match[1], "aborted")
        return 200, {"reservation_id": match[1], "outcome": outcome}

    def _handler(orders):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body = orders.answer(self.path, self.headers.get("Authorization"))
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PUT = handle_any

            def log_message(self, *_):
                pass

        return Handler


class Products:
    """One running product-svc, asked as an admin, as order-svc, or as anybody."""

    def __init__(self, process, secret):
        self.process, self.url = process, process.url
        self.session = requests.Session()
        self.session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
        self.admin = {"Authorization": f"Service order-svc:{secret}"}

    def call(self, method, path, body=None, headers=None, admin=True, **more):
        headers = {**(self.admin if admin else {}), **(headers or {})}
        return self.session.request(method, self.url + path, json=body, headers=headers, timeout=20, **more)

    def get(self, path, headers=None, **params):
        return self.call("GET", path, headers=headers, admin=False, params=params)

    def create(self, product_id, stock=0, price=19.99, category="things", **more):
        body = {"product_id": product_id, "name": f"Name of {product_id}", "price": price,
                "category": category, "stock": stock, **more}  # fmt: skip
        answer = self.call("POST", "/api/products", body)
        assert answer.status_code == 201, answer.text
        return answer

    def stock_of(self, product_id):
        """Exact: not what was true a moment ago."""
        return self.get(f"/api/products/{product_id}", {"Cache-Control": "no-cache"}).json()["stock"]

    def add(self, product_id, delta, key=None):
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("POST", f"/api/products/{product_id}/stock", {"delta": delta}, headers)

    def reserve(self, lines, reservation_id=None, key_hash=None, ttl_s=120):
        body = {"ttl_s": ttl_s, "key_hash": key_hash,
                "lines": [{"product_id": p, "quantity": q} for p, q in lines]}  # fmt: skip
        reservation_id = reservation_id or secrets.token_hex(16)
        return self.call("PUT", f"/internal/reservations/{reservation_id}", body)

    def reserve_many(self, wishes, **more):
        """`wishes`: id -> lines.  What is said of each: id -> (status, body)."""
        bodies = {one: {"ttl_s": 120, "lines": [{"product_id": p, "quantity": q} for p, q in lines]}
                  for one, lines in wishes.items()}  # fmt: skip
        answer = self.call("PUT", "/internal/reservations", {"reservations": {**bodies, **more}})
        said = {one: (said["status"], said["body"]) for one, said in answer.json()["results"].items()}
        refused = all(400 <= status < 500 for status, _ in said.values())
        assert answer.status_code == (409 if refused else 200), "who only sees the status knows whether anything was done"
        return said

    def release(self, reservation_id):
        return self.call("PUT", f"/internal/reservations/{reservation_id}/release")


class ProductAlone(ServiceAlone):
    def __init__(self, stack, folder):
        self.orders = FakeOrders()
        super().__init__(stack, folder, "product-svc", PARTITIONS)
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0})

    def settings(self):
        return {"INTERNAL_URL": self.orders.url, "JANITOR_INTERVAL_MS": "100", "CONSUMER_GROUP": self.name}

    def start(self, **settings):
        return Products(self.run(**settings), self.secret)

    def state(self, reservation_id):
        rows = self.sql("SELECT state FROM reservations WHERE id = %s", reservation_id)
        return rows[0][0] if rows else None

    def publish(self, *values, user_id=1):
        """Events as order-svc writes them; text is sent as it is."""
        for value in values:
            text = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.producer.produce(self.name, text, key=str(user_id))
        assert self.producer.flush(20) == 0

    def balance(self):
        """Nothing sold twice, nothing lost: all stock is on the shelf or held."""
        assert not self.sql(
            "SELECT p.id, p.stock FROM products p WHERE p.stock < 0 OR p.stock <>"
            " (SELECT COALESCE(SUM(delta), 0) FROM stock_changes c WHERE c.product_id = p.id) -"
            " (SELECT COALESCE(SUM(i.quantity), 0) FROM reservation_items i JOIN reservations r"
            "  ON r.id = i.reservation_id WHERE i.product_id = p.id"
            "  AND r.state IN ('pending', 'confirmed'))"
        )

    def close(self):
        try:
            super().close()
        finally:
            self.orders.close()


def event(kind, order_id, reservation_id):
    return {
        "order_id": order_id, "user_id": 1, "price": 19.99, "quantity": 1,
        "timestamp": "2025-11-24T21:13:22Z", "type": kind, "event_id": secrets.token_hex(16),
        "seq": order_id, "currency": "USD", "reservation_id": reservation_id, "items": [],
    }  # fmt: skip


__all__ = ["ProductAlone", "event", "until"]
