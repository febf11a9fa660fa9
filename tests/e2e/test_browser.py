"""A real browser against the whole stack: an order changes the totals without a reload."""

import os
import re
from decimal import Decimal

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
--disable-background-networking --disable-component-update --disable-dev-shm-usage
--window-size=1280,1600""".split()
PRICE = Decimal("1999.99")


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [*FLAGS, f"--user-data-dir={tmp_path}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Loopback must not go through a proxy.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    service = webdriver.chrome.service.Service("/usr/bin/chromedriver")
    driver = webdriver.Chrome(service=service, options=options)
    yield driver
    driver.quit()


def find(browser, name, seconds=15):
    """The visible element with this data-testid."""
    where = (By.CSS_SELECTOR, f'[data-testid="{name}"]')
    wait = WebDriverWait(browser, seconds, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(
        lambda b: next((e for e in b.find_elements(*where) if e.is_displayed()), None),
        f"no element {name}",
    )


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
