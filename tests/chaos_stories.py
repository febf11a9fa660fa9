"""What the tests of the chaos harness share: stories of clients, and shops of one process."""

import importlib.machinery
import importlib.util
from collections import Counter
from types import SimpleNamespace

from chaos import faults, report
from chaos.clients import Attempt, Request
from chaos.holders import Holders
from chaos.shop import INSTANCES, Shop, layout_of
from invariants import cents
from shop_stack import ROOT
from shopstack import proc
from shopstack.store import locked

USER, OTHER = 7, 8

SETUP = report.Setup("debug", 1, "3", INSTANCES, [])


def load_tool(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(ROOT / "tools" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def attempt(status, code="", body=None):
    return Attempt(0, 0.1, status, code, body)


def order_body(order, quantity=2, price=3.5):
    items = [{"product_id": "P", "name": "p", "quantity": quantity, "unit_price": price}]
    return {"order_id": order, "user_id": USER, "total_price": quantity * price, "items": items}


def wish(key, *attempts, user=USER):
    body = {"user_id": user, "items": [{"product_id": "P", "quantity": 2}]}
    return Request("order", user, "/api/orders", body, key, list(attempts))


def story():
    """Three keys: bought after an attempt that was lost, refused, left open; and what the tables say to that."""
    answered = [attempt(201, body=order_body(1)) for _ in range(2)]
    orders = {
        "bought": wish("bought", attempt(0, "ReadTimeout"), *answered),
        "refused": wish("refused", attempt(409, "insufficient_stock"), attempt(409, "insufficient_stock")),
        "open": wish("open", attempt(503, "database_busy")),
    }
    truth = SimpleNamespace(
        orders={1: {"user": USER, "status": "placed", "total": cents("7.00")}},
        lines={1: {"P": (2, cents("3.5"))}},
        keys={(USER, "bought"): (201, 1), (USER, "refused"): (409, None)},
    )
    return truth, orders


def observers(orders=10, looks=10, seen=10):
    answered = [wish(f"key {n}", attempt(201, body=order_body(n))) for n in range(orders)]
    reader = SimpleNamespace(looks=looks, errors=[])
    crowd = SimpleNamespace(requests=answered, clients=[SimpleNamespace(errors=[])], reader=reader)
    return crowd, SimpleNamespace(looks=seen, errors=[])


def names_broken(findings):
    return {one.name for one in findings if not one.ok}


def breaks_down(*_, **__):
    raise KeyError("stock")


def stack_of_one(folder, program, **env):
    """A shop of one process of ours, which no watchman looks after."""
    shop = Shop.__new__(Shop)
    shop.stack, shop.failpoints, shop.away, shop.events = SimpleNamespace(dir=folder), {}, Holders(), []
    shop.seed, shop.starts = 7, Counter()
    with locked(layout_of(shop.stack)) as store:
        store.start("one", argv=["/bin/sh", "-c", program], env=env, cwd=str(folder), kind="one")
    return shop


def alive(shop):
    """The one that is known; SIGKILL takes a moment."""
    return proc.alive(shop.entries()["one"])


def context(shop, crowd=None):
    return faults.Context(shop, crowd, 1, 0)
