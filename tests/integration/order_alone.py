"""order-svc by itself: a schema and a topic of its own, and a FakeShop for the rest."""

import json

import requests
from alone import Process, ServiceAlone
from confluent_kafka import Consumer, TopicPartition
from shop_stack import until

PARTITIONS = 3


class OrderProcess(Process):
    def post(self, path="/api/orders", body=None, key=None, timeout=20, **headers):
        if key:
            headers["Idempotency-Key"] = key
        return requests.post(self.url + path, json=body, headers=headers, timeout=timeout)

    def get(self, path, **params):
        return requests.get(self.url + path, params=params, timeout=20)


class OrderAlone(ServiceAlone):
    def __init__(self, stack, folder, shop):
        self.shop = shop
        super().__init__(stack, folder, "order-svc", PARTITIONS)

    def settings(self):
        return {"INTERNAL_URL": self.shop.url}

    def start(self, **settings):
        return self.run(OrderProcess, **settings)

    def events(self):
        """Everything on the topic now: (key, value, headers) in order of each partition."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name, "enable.auto.commit": False})
        try:
            out = []
            for partition in range(PARTITIONS):
                low, high = consumer.get_watermark_offsets(TopicPartition(self.name, partition), timeout=10)
                consumer.assign([TopicPartition(self.name, partition, low)])
                while low < high:
                    message = consumer.poll(5)
                    assert message and not message.error(), message and message.error()
                    low = message.offset() + 1
                    headers = {k: v.decode() for k, v in message.headers() or []}
                    out.append((message.key().decode(), json.loads(message.value()), headers))
            return out
        finally:
            consumer.close()

    def at_rest(self):
        """What must hold whatever happened: one order a key, one event an order and type,
        the numbers of a user without a hole, an outcome for every order."""
        until(lambda: self.one("SELECT COUNT(*) FROM outbox") == 0, 15, "an empty outbox")
        assert not self.sql("SELECT user_id, idempotency_key FROM order_keys GROUP BY 1, 2 HAVING COUNT(*) > 1")
        assert not self.sql(
            "SELECT o.id FROM orders o LEFT JOIN outcomes u ON u.reservation_id ="
            " o.reservation_id AND u.outcome = 'committed' WHERE u.reservation_id IS NULL"
        )
        assert not self.sql(
            "SELECT u.reservation_id FROM outcomes u LEFT JOIN orders o ON o.reservation_id ="
            " u.reservation_id WHERE u.outcome = 'committed' AND o.id IS NULL"
        )
        assert not self.sql(
            "SELECT o.id FROM orders o WHERE o.total_price <> (SELECT SUM(quantity * unit_price)"
            " FROM order_items i WHERE i.order_id = o.id)"
        )
        self._check_events()

    def _check_events(self):
        events, first, last = self.events(), {}, {}
        for key, value, headers in events:
            assert key == str(value["user_id"]) and headers["event_id"] == value["event_id"]
            same = first.setdefault((value["order_id"], value["type"]), value)
            assert same == value, "a repeated event must be the same event"
            seen = last.get(key, 0)
            assert value["seq"] <= seen + 1, "events of a user in order, repeats aside"
            last[key] = max(seen, value["seq"])
        created = {order for order, kind in first if kind == "order.created"}
        cancelled = {order for order, kind in first if kind == "order.cancelled"}
        assert created == {row[0] for row in self.sql("SELECT id FROM orders")}
        assert cancelled == {row[0] for row in self.sql("SELECT id FROM orders WHERE status = 'cancelled'")}
        assert last == {str(u): s for u, s in self.sql("SELECT user_id, seq FROM user_seq")}
