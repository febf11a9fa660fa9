"""All boards."""

from . import ecommerce, gateway, orders, programs


def boards():
    for module in (ecommerce, orders, gateway, programs):
        yield from module.boards()
