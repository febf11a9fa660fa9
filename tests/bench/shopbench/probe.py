"""How long an accepted order takes to show in the live analytics: a few probes beside a background load.

Each probe has a user of its own, so the first answer with one order more is its own order.  Plain sockets and
prepared texts: the probes must not be what loads the machine.
"""

import secrets
import socket
import statistics
import threading
import time
import urllib.parse

POLL_S = 0.0025
PAUSE_S = 0.25
GIVE_UP_S = 10
THREADS = 4


class Wire:
    """One kept connection; an answer is (status, text)."""

    def __init__(self, base):
        parts = urllib.parse.urlsplit(base)
        self.sock = socket.create_connection((parts.hostname, parts.port), timeout=GIVE_UP_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def call(self, request):
        self.sock.sendall(request)
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(head.split(b" ", 2)[1]), body

    def _more(self):
        got = self.sock.recv(65536)
        if not got:
            raise ConnectionError("closed by the gateway")
        self.buffer += got

    def order(self, user, product):
        body = b'{"user_id":%d,"product_id":"%s","quantity":1}' % (user, product.encode())
        head = b"POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
        return self.call(
            head + b"Idempotency-Key: %s\r\nContent-Length: %d\r\n\r\n" % (secrets.token_hex(12).encode(), len(body)) + body
        )

    def total(self, user):
        status, body = self.call(b"GET /api/analytics/users/%d HTTP/1.1\r\nHost: shop\r\n\r\n" % user)
        return int(body.partition(b'"total_orders":')[2].split(b",")[0]) if status == 200 else -1


def _probe(base, user, until, visible, placing, lost):
    wire = Wire(base)
    known = wire.total(user)
    while time.monotonic() < until:
        begin = time.monotonic()
        status, _ = wire.order(user, "BENCH-1000")
        accepted = time.monotonic()
        if status != 201:
            lost.append(status)
            time.sleep(PAUSE_S)
            continue
        placing.append((accepted - begin) * 1000)
        while wire.total(user) <= known and time.monotonic() - accepted < GIVE_UP_S:
            time.sleep(POLL_S)
        visible.append((time.monotonic() - accepted) * 1000)
        known += 1
        time.sleep(PAUSE_S)


def percentile(values, share):
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1] if len(values) > 1 else None


def run(base, users, seconds):
    """Probes for so long; p50 and p99 of accepted -> visible."""
    until = time.monotonic() + seconds
    visible, placing, lost = [], [], []
    threads = [
        threading.Thread(target=_probe, args=(base, user, until, visible, placing, lost)) for user in users[:THREADS]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "samples": len(visible), "p50_ms": percentile(visible, 0.5), "p99_ms": percentile(visible, 0.99),
        "placing_p50_ms": percentile(placing, 0.5), "placing_p99_ms": percentile(placing, 0.99), "probes_refused": len(lost),
    }  # fmt: skip
