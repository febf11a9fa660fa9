"""What the tests of the chaos harness share: answers, wishes and observers made by hand."""

from types import SimpleNamespace

from chaos import report
from chaos.clients import Attempt, Request
from chaos.shop import INSTANCES

USER = 7
SETUP = report.Setup("debug", 1, "3", INSTANCES, [])


def attempt(status, code="", body=None):
    return Attempt(0, 0.1, status, code, body)


def order_body(order, quantity=2, price=3.5):
    items = [{"product_id": "P", "name": "p", "quantity": quantity, "unit_price": price}]
    return {"order_id": order, "user_id": USER, "total_price": quantity * price, "items": items}


def wish(key, *attempts, user=USER):
    body = {"user_id": user, "items": [{"product_id": "P", "quantity": 2}]}
    return Request("order", user, "/api/orders", body, key, list(attempts))


def observers(orders=10, looks=10, seen=10):
    answered = [wish(f"key {n}", attempt(201, body=order_body(n))) for n in range(orders)]
    reader = SimpleNamespace(looks=looks, errors=[])
    crowd = SimpleNamespace(requests=answered, clients=[SimpleNamespace(errors=[])], reader=reader)
    return crowd, SimpleNamespace(looks=seen, errors=[])


def names_broken(findings):
    return {one.name for one in findings if not one.ok}


def breaks_down(*_, **__):
    raise KeyError("stock")
