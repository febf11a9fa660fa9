"""The other services as order-svc sees them, in this process: stock and users in
memory, and faults on demand.  Lets tests of order-svc decide what product-svc answers."""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANY = "/internal/reservations"
RESERVATION = re.compile(r"^/internal/reservations/([0-9a-f]{32})(/release)?$")
USER = re.compile(r"^/internal/users/(\d+)$")


def problem(status, code, detail="", **more):
    return status, {"type": "about:blank", "status": status, "code": code, "detail": detail, **more}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the usual 5, a rush of connections waits a second for a second try


class FakeShop:
    """`faults` is a list of (kind, value) used up one a reserve call: ("delay", s): carries
    it out, answers late; ("hang up", None): carries it out, does not answer; ("answer", (status, body)):
    answers that instead, does nothing."""

    def __init__(self, stock, users=range(1, 1000)):
        self.stock = dict(stock)
        self.users = set(users)
        self.reservations = {}
        self.requests = []
        self.faults = []
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def state(self, reservation_id):
        with self.lock:
            return self.reservations[reservation_id]["state"]

    def states(self):
        with self.lock:
            return sorted(one["state"] for one in self.reservations.values())

    def held(self, product):
        """Units in reservations that are still pending."""
        with self.lock:
            return sum(
                line["quantity"]
                for one in self.reservations.values()
                for line in one["lines"]
                if one["state"] == "pending" and line["product_id"] == product
            )

    # ---- the services ----

    def _reserve(self, key, body):
        known = self.reservations.get(key)
        if known and known["state"] == "released":
            return problem(409, "reservation_released", "it was given up")
        if not known:
            refusal = self._take(body)
            if refusal:
                return refusal
            known = self.reservations[key] = {
                "state": "pending", "lines": body["lines"], "key_hash": body["key_hash"],
            }  # fmt: skip
        lines = [{**line, "name": f"Product {line['product_id']}", "unit_price": 19.99} for line in known["lines"]]
        total = sum(line["quantity"] for line in lines) * 1999 / 100
        return 200, {
            "reservation_id": key, "state": known["state"],
            "expires_at": "2030-01-01T00:00:00Z", "total": total, "lines": lines,
        }  # fmt: skip

    def _reserve_many(self, body):
        answers = {key: self._reserve(key, one) for key, one in body["reservations"].items()}
        results = {key: {"status": status, "body": answer} for key, (status, answer) in answers.items()}
        return 409 if all(400 <= status < 500 for status, _ in answers.values()) else 200, {"results": results}

    def _take(self, body):
        for i, line in enumerate(body["lines"]):
            if line["product_id"] not in self.stock:
                return problem(
                    404, "product_not_found", f"no product {line['product_id']}",
                    errors=[{"field": f"items[{i}].product_id", "detail": "unknown"}],
                )  # fmt: skip
        for line in body["lines"]:
            product, wanted = line["product_id"], line["quantity"]
            left = self.stock[product]
            if left >= wanted:
                continue
            if body["key_hash"] and any(
                one["state"] == "pending" and one["key_hash"] == body["key_hash"] for one in self.reservations.values()
            ):
                return problem(409, "order_in_progress", "wait")
            return problem(
                409, "insufficient_stock", f"{product}: {left} available, {wanted} wanted",
                product_id=product, available=left, requested=wanted,
            )  # fmt: skip
        for line in body["lines"]:
            self.stock[line["product_id"]] -= line["quantity"]
        return None

    def _release(self, key):
        known = self.reservations.setdefault(key, {"state": "released", "lines": []})
        if known["state"] == "pending":
            for line in known["lines"]:
                self.stock[line["product_id"]] += line["quantity"]
            known["state"] = "released"
        return 200, {"reservation_id": key, "state": known["state"]}

    def answer(self, method, path, headers, body):
        delay = 0
        with self.lock:
            self.requests.append((method, path, dict(headers)))
            reservation, user = RESERVATION.match(path), USER.match(path)
            if reservation and reservation[2]:
                return (*self._release(reservation[1]), delay)
            if reservation or path == MANY:
                kind, value = self.faults.pop(0) if self.faults else ("", None)
                if kind == "answer":
                    return (*value, delay)
                delay = value if kind == "delay" else 0
                hang_up = kind == "hang up"
                body = json.loads(body)
                answer = self._reserve_many(body) if path == MANY else self._reserve(reservation[1], body)
                return (*((0, b"") if hang_up else answer), delay)
            if user:
                found = int(user[1]) in self.users
                answer = (200, {"user_id": int(user[1])}) if found else problem(404, "user_not_found")
                return (*answer, delay)
            return 200, {"keys": []}, delay

    def _handler(shop):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer, delay = shop.answer(self.command, self.path, self.headers, body)
                time.sleep(delay)
                if status == 0:
                    self.close_connection = True
                    return
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                kind = "application/json" if status < 400 else "application/problem+json"
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    self.close_connection = True

            do_GET = do_PUT = do_POST = handle_any

            def log_message(self, *_):
                pass

        return Handler
