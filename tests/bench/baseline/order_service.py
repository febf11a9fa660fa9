"""Places orders: price, INSERT, COMMIT, produce."""

import atexit
import json
import logging
import os

from common import db
from flask import Flask, request

app = Flask(__name__)
BROKER = os.getenv("KAFKA")
_producer = None


def producer():
    global _producer
    if _producer is None and BROKER:  # after the fork
        from confluent_kafka import Producer

        _producer = Producer({"bootstrap.servers": BROKER, "acks": "all", "enable.idempotence": True, "linger.ms": 5})
        atexit.register(_producer.flush, 5)
    return _producer


def delivered(err, _msg):
    if err:
        logging.error("order event lost: %s", err)


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/api/orders")
def create():
    body = request.get_json(silent=True) or {}
    try:
        uid, pid, qty = int(body["user_id"]), int(body["product_id"]), int(body["quantity"])
        if qty < 1:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        return {"error": "user_id, product_id and quantity are required"}, 400
    with db() as cur:
        cur.execute("SELECT price FROM products WHERE id=%s", (pid,))
        row = cur.fetchone()
        if row is None:
            return {"error": "no such product"}, 404
        total = row["price"] * qty
        cur.execute(
            "INSERT INTO orders(user_id, product_id, quantity, total_price, status, created_at) "
            "VALUES(%s,%s,%s,%s,'created',NOW())",
            (uid, pid, qty, total),
        )
        oid = cur.lastrowid
    order = {
        "id": oid, "user_id": uid, "product_id": pid, "quantity": qty, "total_price": str(total), "status": "created",
    }  # fmt: skip
    p = producer()
    if p:
        value = json.dumps({"type": "order.created", **order})
        p.produce(os.environ["TOPIC"], key=str(uid), value=value, on_delivery=delivered)
        p.poll(0)
    return order, 201


@app.get("/api/orders/<int:oid>")
def one(oid):
    with db() as cur:
        cur.execute(
            "SELECT id, user_id, product_id, quantity, CAST(total_price AS CHAR) AS total_price, status "
            "FROM orders WHERE id=%s",
            (oid,),
        )
        row = cur.fetchone()
    return row or ({"error": "not found"}, 404)
