"""How long an accepted order takes to show in the live analytics: a few probes beside a background load.

Each probe has a user of its own, so the first answer with one order more is its own order.  Plain sockets and
prepared texts, and few questions: the probes must not be what loads the machine.
"""

import secrets
import socket
import statistics
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

POLL_S = 0.004
PERIOD_S = 0.25  # a probe's next order is due so long after the one before
GIVE_UP_S = 10
THREADS = 5
RATE = round(THREADS / PERIOD_S)  # orders a second of all probes, at most


class Wire:
    """One connection, kept as long as the gateway likes (1,000 requests); an answer is (status, text)."""

    def __init__(self, base):
        parts = urllib.parse.urlsplit(base)
        self.address, self.sock = (parts.hostname, parts.port), None

    def _connect(self):
        self.sock = socket.create_connection(self.address, timeout=GIVE_UP_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def call(self, request):
        if not self.sock:
            self._connect()
        self.sock.sendall(request)
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        if b"\r\nconnection: close" in head.lower():
            self.close()
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


class Probe:
    """One user and what his orders showed, over several runs; times in milliseconds."""

    def __init__(self, base, user):
        self.base, self.user, self.wire = base, user, None
        self.visible, self.placing = [], []
        self.lost = self.refused = 0
        self.known = None  # orders of the user, as far as placed by us

    def run(self, until):
        self.wire = Wire(self.base)
        try:
            self._run(until)
        finally:
            self.wire.close()

    def _run(self, until):
        while self.known is None and time.monotonic() < until:
            total = self.wire.total(self.user)
            self.known = total if total >= 0 else None  # refused: the gateway had too much to do
            time.sleep(POLL_S)
        while (begin := time.monotonic()) < until:
            self._place(begin)
            time.sleep(max(0, begin + PERIOD_S - time.monotonic()))

    def _place(self, begin):
        status, _ = self.wire.order(self.user, "BENCH-1000")
        accepted = time.monotonic()
        if status != 201:
            self.refused += 1
            return
        self.known += 1
        self.placing.append((accepted - begin) * 1000)
        if self._shows(accepted + GIVE_UP_S):
            self.visible.append((time.monotonic() - accepted) * 1000)
        else:
            self.lost += 1

    def _shows(self, deadline):
        """As the order before may be lost and come later, only all of them together count."""
        while self.wire.total(self.user) < self.known:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def percentile(values, share):
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1] if len(values) > 1 else None


def probes(base, users):
    return [Probe(base, user) for user in users[:THREADS]]


def run(several, seconds):
    """All of them for so long; fails with the first one that does, for without it there are fewer samples."""
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(len(several)) as pool:
        list(pool.map(lambda probe: probe.run(until), several))


def figures(several):
    """p50 and p99 of accepted -> visible.  A lost order never showed, so it has no time: it is counted apart."""
    visible = [ms for probe in several for ms in probe.visible]
    placing = [ms for probe in several for ms in probe.placing]
    return {
        "samples": len(visible), "p50_ms": percentile(visible, 0.5), "p99_ms": percentile(visible, 0.99),
        "placing_p50_ms": percentile(placing, 0.5), "placing_p99_ms": percentile(placing, 0.99),
        "probes_lost": sum(probe.lost for probe in several), "probes_refused": sum(probe.refused for probe in several),
    }  # fmt: skip
