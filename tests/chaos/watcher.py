"""What must hold at any moment, seen in one snapshot of the database after the other."""

import threading
import time

import pymysql
from invariants import HELD, Database

from .guarded import Guarded

# Each returns nothing; products and users of one run only, so that a look stays cheap.
AT_ANY_MOMENT = {
    "stock adds up at any moment": f"""
        SELECT p.id, p.stock, c.delta, h.held FROM {{product}}.products p
        LEFT JOIN (SELECT product_id, SUM(delta) delta FROM {{product}}.stock_changes
          WHERE product_id IN (%(products)s) GROUP BY product_id) c ON c.product_id = p.id
        LEFT JOIN (SELECT i.product_id, SUM(i.quantity) held FROM {{product}}.reservations r
          JOIN {{product}}.reservation_items i ON r.id = i.reservation_id
          WHERE r.state IN {HELD} AND i.product_id IN (%(products)s) GROUP BY i.product_id) h ON h.product_id = p.id
        WHERE p.id IN (%(products)s) AND (p.stock <> COALESCE(c.delta, 0) - COALESCE(h.held, 0) OR p.stock < 0)""",
    "what is ordered is held at any moment": """
        SELECT o.id, o.status, r.state FROM {order}.orders o
        LEFT JOIN {product}.reservations r ON r.id = o.reservation_id
        WHERE o.user_id IN (%(users)s) AND o.status = 'placed'
          AND (r.state IS NULL OR r.state NOT IN ('pending', 'confirmed'))""",
    "one outcome a reservation at any moment": """
        SELECT o.id, c.outcome FROM {order}.orders o LEFT JOIN {order}.outcomes c ON c.reservation_id = o.reservation_id
        WHERE o.user_id IN (%(users)s) AND (c.outcome IS NULL OR c.outcome <> 'committed')""",
}
EVERY_S = 0.5


class Watcher(Guarded):
    """Looks until stopped; the database may be away meanwhile."""

    def __init__(self, stack, crowd):
        super().__init__()
        self.stack, self.done = stack, threading.Event()
        self.names = {
            "products": ",".join(f"'{product}'" for product in crowd.hot + crowd.plenty),
            "users": ",".join(map(str, crowd.all_users())),
        }
        self.looks, self.missed, self.seen = 0, 0, []

    def work(self):
        db = None
        while not self.done.wait(EVERY_S):
            try:
                db = db or Database(self.stack)
                self.look(db)
                self.looks += 1
            except pymysql.MySQLError:
                self.missed += 1
                db = None

    def look(self, db):
        db.rows("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        for name, text in AT_ANY_MOMENT.items():
            rows = db.rows(text % self.names)
            if rows:
                self.seen.append((time.time(), name, rows[:4]))
        db.rows("ROLLBACK")

    def finish(self):
        self.done.set()
        self.join(10)
