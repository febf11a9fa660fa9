"""Who is signed in, and what of that is on the page: sessions that end, visitors, the next customer."""

import json

import pytest
from page import answer_instead, dialog_is_open, find, sign_in, text_of, wait_for
from selenium.webdriver.common.by import By

EXPIRED = {"access_token": "x", "user": {"user_id": 1, "name": "Somebody"}}
# The first stream of a session ends, the next is refused: its token's time is over.
ENDING = """
window.streams = (window.streams || 0) + Boolean(init.headers.Authorization);
if (window.streams === 1) return new Response('event: summary\\ndata: {"total_orders": 1}\\n\\n');
if (window.streams === 2 && init.headers.Authorization) return problem(401, 'token_expired');
"""


def personal_calls(browser):
    """What was asked about somebody since the page was loaded."""
    asked = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    return [url for url in asked if "/api/orders" in url or "/api/analytics/users" in url]


def visit(shop, browser, session=None):
    """Loads the page, with this left over from another time; returns when it knows who that is."""
    browser.get(f"{shop.frontend}/favicon.svg")
    if session:
        browser.execute_script("sessionStorage.setItem('session', arguments[0])", json.dumps(session))
    browser.get(shop.frontend)
    wait_for(browser, lambda: text_of(browser, "live") in ("live", "for administrators"), "no word about the stream")


def session_of(shop, who):
    return {"access_token": shop.login(who), "user": {"user_id": 1, "name": who}}


def mine(browser):
    return [text_of(browser, name) for name in ("who", "orders", "my-total", "my-tier")]


def test_a_visitor_is_nobody(closed, browser):
    visit(closed, browser)
    find(browser, "order-LAPTOP001")
    assert mine(browser) == ["", "", "–", ""]
    assert not dialog_is_open(browser) and text_of(browser, "notice") == ""
    find(browser, "order-LAPTOP001").click()
    assert dialog_is_open(browser)
    assert personal_calls(browser) == []


@pytest.mark.parametrize("then", ["cancel", "sign in"])
def test_the_catalogue_outlives_a_session(closed, browser, then):
    visit(closed, browser, EXPIRED)
    wait_for(browser, lambda: dialog_is_open(browser), "no word about the session")
    if then == "cancel":
        browser.find_element(By.ID, "sign-in-cancel").click()
        assert mine(browser) == ["", "", "–", ""]
    else:
        sign_in(browser, closed["logins"]["demo"])
        wait_for(browser, lambda: text_of(browser, "orders"), "no orders")
    assert not dialog_is_open(browser)
    find(browser, "order-LAPTOP001")


def test_the_next_customer_sees_nothing_of_the_last(closed, browser):
    visit(closed, browser)
    browser.find_element(By.ID, "sign-in").click()
    sign_in(browser, closed["logins"]["demo"])
    find(browser, "order-LAPTOP001").click()
    wait_for(browser, lambda: " placed: " in text_of(browser, "notice"), "no order")
    wait_for(browser, lambda: "$" in text_of(browser, "my-total") and text_of(browser, "orders"), "no orders")
    browser.find_element(By.ID, "sign-in").click()
    assert mine(browser) == ["", "", "–", ""] and text_of(browser, "notice") == ""
    asked = len(personal_calls(browser))
    # The page asks for the new total three times in the three seconds after an order.
    browser.execute_async_script("setTimeout(arguments[0], 3500)")
    assert mine(browser) == ["", "", "–", ""] and len(personal_calls(browser)) == asked
    assert not dialog_is_open(browser)


def test_without_analytics_the_demo_goes_on(stack, browser):
    stack.stop("analytics-svc")
    try:
        browser.get(stack.frontend)
        wait_for(browser, lambda: text_of(browser, "orders"), "no orders")
        assert text_of(browser, "who") == "Demo Customer"
    finally:
        stack.start("analytics-svc")


def test_a_session_ends_in_the_demo_too(stack, browser):
    visit(stack, browser, EXPIRED)
    wait_for(browser, lambda: dialog_is_open(browser), "no word about the session")
    browser.find_element(By.ID, "sign-in-cancel").click()
    find(browser, "order-LAPTOP001")
    wait_for(browser, lambda: text_of(browser, "orders"), "no orders")
    assert text_of(browser, "who") == "Demo Customer"


def test_a_live_view_ends_with_its_session(closed, browser):
    answer_instead(browser, "/api/analytics/stream", ENDING)
    visit(closed, browser, session_of(closed, "admin"))
    wait_for(browser, lambda: dialog_is_open(browser), "no word about the session")
    assert text_of(browser, "notice") == "token_expired"
    sign_in(browser, closed["logins"]["admin"])
    wait_for(browser, lambda: text_of(browser, "live") == "live", "no live view")


def test_a_view_for_others_ends_no_session(closed, browser):
    visit(closed, browser, session_of(closed, "demo"))
    wait_for(browser, lambda: text_of(browser, "live") == "for administrators", "another word")
    wait_for(browser, lambda: text_of(browser, "orders") or "$" in text_of(browser, "my-total"), "nothing of the customer")
    assert not dialog_is_open(browser) and text_of(browser, "who") == "demo"


@pytest.mark.parametrize("answer", ["problem(503, 'overloaded')", "new Response('<html>', { status: 503 })"])
def test_a_refusal_of_everybody_makes_nobody_a_customer(closed, browser, answer):
    answer_instead(browser, "/api/analytics/stream", f"return {answer};")
    browser.get(closed.frontend)
    wait_for(browser, lambda: text_of(browser, "live") == "reconnecting", "no word about the stream")
    assert mine(browser) == ["", "", "–", ""] and personal_calls(browser) == []


@pytest.mark.parametrize("code", ["unavailable", "not_caught_up", "too_many_streams"])
def test_a_refusal_behind_the_check_keeps_the_demo(stack, browser, code):
    answer_instead(browser, "/api/analytics/stream", f"return problem(503, '{code}');")
    browser.get(stack.frontend)
    wait_for(browser, lambda: text_of(browser, "who") == "Demo Customer", "nobody")
