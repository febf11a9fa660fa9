"""Consumes orders-events, aggregates in dicts, writes the window every FLUSH seconds."""

import json
import os
import signal
import time
from collections import defaultdict

from common import db
from confluent_kafka import Consumer

FLUSH = float(os.getenv("FLUSH", "60"))
running = True


def stop(*_):
    global running
    running = False


def flush(orders, revenue):
    if not orders:
        return
    with db() as cur:
        cur.executemany(
            "INSERT INTO analytics(product_id, orders, revenue) VALUES(%s,%s,%s) ON DUPLICATE KEY UPDATE "
            "orders=orders+VALUES(orders), revenue=revenue+VALUES(revenue)",
            [(p, n, round(revenue[p], 2)) for p, n in orders.items()],
        )


def main():
    signal.signal(signal.SIGTERM, stop)
    c = Consumer({
        "bootstrap.servers": os.environ["KAFKA"], "group.id": "bench-python",
        "auto.offset.reset": "earliest", "enable.auto.commit": False,
    })  # fmt: skip
    c.subscribe([os.environ["TOPIC"]])
    orders, revenue, last = defaultdict(int), defaultdict(float), time.monotonic()
    while running:
        for m in c.consume(500, 1.0):
            if m.error():
                continue
            e = json.loads(m.value())
            orders[e["product_id"]] += 1
            revenue[e["product_id"]] += float(e["total_price"])
        if time.monotonic() - last >= FLUSH:
            if orders:
                flush(orders, revenue)
                c.commit(asynchronous=False)
            orders.clear()
            revenue.clear()
            last = time.monotonic()
    if orders:
        flush(orders, revenue)
        c.commit(asynchronous=False)
    c.close()


main()
