"""A real browser against the whole stack: an order changes the totals without a reload."""

import re
from decimal import Decimal

from page import find, text_of
from selenium.webdriver.support.ui import WebDriverWait

PRICE = Decimal("1999.99")


def total_of(browser):
    """What the page shows as user 1's total now.  In one step: rows are replaced whenever a number changes."""
    script = """return document.querySelector('[data-testid="top-user-1"] [data-testid="total"]')?.textContent"""
    text = WebDriverWait(browser, 15).until(lambda b: b.execute_script(script), "no total of user 1")
    return Decimal(re.sub(r"[^0-9.]", "", text))


def test_order_changes_the_total_without_reload(stack, browser):
    browser.get(stack.frontend)
    find(browser, "catalog")
    find(browser, "top-users")
    before = total_of(browser)
    browser.execute_script("window.notReloaded = true")
    find(browser, "order-LAPTOP001").click()
    WebDriverWait(browser, 15).until(lambda b: total_of(b) >= before + PRICE, "the total did not change")
    assert (total_of(browser) - before) % PRICE == 0
    assert browser.execute_script("return window.notReloaded") is True
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors, errors


def test_orders_and_windows_are_shown(stack, browser):
    browser.get(stack.frontend)
    assert find(browser, "orders").text
    assert find(browser, "windows").text
    assert text_of(browser, "who") == "Demo Customer"
