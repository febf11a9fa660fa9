"""Answers to an order get lost: the page asks again under the same key, whoever presses the button, and buys once."""

import json
import secrets

import pytest
from page import find, look_for, text_of, wait_for

# Takes the next of localStorage.faults for an order that is sent, and notes when, and under which key:
# {lost: true} carries it out first; {status: 0} is the network's fault.
FAULTS = """
const send = window.fetch;
const list = (name) => JSON.parse(localStorage[name] || '[]');
window.fetch = async (url, init = {}) => {
  if (init.method !== 'POST' || url !== '/api/orders') return send(url, init);
  localStorage.sent = JSON.stringify([...list('sent'), [Date.now(), init.headers['Idempotency-Key']]]);
  const [fault, ...rest] = list('faults');
  localStorage.faults = JSON.stringify(rest);
  if (!fault || fault.lost) {
    const answer = await send(url, init);
    if (!fault) return answer;
  }
  if (!fault.status) throw new TypeError('Failed to fetch');
  const headers = fault.after ? { 'Retry-After': fault.after } : {};
  return new Response(JSON.stringify({ code: fault.code, detail: fault.code }), { status: fault.status, headers });
};
"""
GIVEN_UP = [{"status": 504, "code": "order_unknown", "lost": True}] + [{"status": 0}] * 3


class Shopper:
    """Somebody in front of the page, who wants one product."""

    def __init__(self, stack, browser):
        self.stack, self.browser = stack, browser
        self.name = f"Lamp {secrets.token_hex(6)}"
        self.product = stack.new_product(name=self.name)
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FAULTS})
        browser.get(stack.frontend)
        find(browser, "orders")
        look_for(browser, self.name)

    def presses(self, faults=()):
        self.browser.execute_script("localStorage.faults = arguments[0]", json.dumps(faults))
        find(self.browser, f"order-{self.product}").click()

    def reads(self, text):
        wait_for(self.browser, lambda: text in text_of(self.browser, "notice"), f"{text} is not shown", 30)

    def reloads(self):
        self.browser.refresh()
        look_for(self.browser, self.name)

    def sent(self):
        """[time in ms, key] of each request."""
        return json.loads(self.browser.execute_script("return localStorage.sent"))

    def keys(self):
        return [key for _, key in self.sent()]

    def bought(self):
        rows = self.stack.sql("order-svc", "SELECT COUNT(*) FROM order_items WHERE product_id = %s", self.product)
        return rows[0][0]


@pytest.fixture
def shopper(stack, browser):
    return Shopper(stack, browser)


def test_an_order_on_its_way_is_waited_for(shopper):
    lost = {"status": 502, "code": "bad_upstream", "lost": True}
    shopper.presses([lost, {"status": 409, "code": "order_in_progress", "after": 2}])
    shopper.reads(" placed: ")
    assert len(set(shopper.keys())) == 1 and shopper.bought() == 1
    second, third = (when for when, _ in shopper.sent()[1:])
    assert third - second >= 2000


@pytest.mark.parametrize("status", [408, 429, 503])
def test_who_is_told_to_come_later_does(shopper, status):
    shopper.presses([{"status": status, "code": "later", "after": 1}])
    shopper.reads(" placed: ")
    assert len(set(shopper.keys())) == 1 and shopper.bought() == 1


@pytest.mark.parametrize("reload", [False, True])
def test_pressing_again_buys_once(shopper, reload):
    shopper.presses(GIVEN_UP)
    shopper.reads("may have gone through")
    assert shopper.bought() == 1
    if reload:
        shopper.reloads()
    shopper.presses()
    shopper.reads(" placed: ")
    assert len(shopper.keys()) == 5 and len(set(shopper.keys())) == 1
    assert shopper.bought() == 1


def test_a_page_closed_too_early_buys_once(shopper):
    shopper.presses([{"status": 502, "code": "bad_upstream", "lost": True, "after": 60}])
    wait_for(shopper.browser, lambda: shopper.bought() == 1, "nothing was ordered")
    shopper.reloads()
    shopper.presses()
    shopper.reads(" placed: ")
    assert shopper.bought() == 1 and len(set(shopper.keys())) == 1


def test_a_refusal_says_nothing_about_what_was_sent_before(shopper):
    shopper.presses([*GIVEN_UP[:1], {"status": 404, "code": "product_not_found"}])
    shopper.reads("may have gone through")
    shopper.presses()
    shopper.reads(" placed: ")
    assert shopper.bought() == 1 and len(set(shopper.keys())) == 1


@pytest.mark.parametrize("status, code", [(409, "insufficient_stock"), (422, "idempotency_key_reused")])
def test_a_key_that_is_used_up_is_forgotten(shopper, status, code):
    shopper.presses([{"status": 502, "code": "bad_upstream"}, {"status": status, "code": code}])
    shopper.reads(code)
    shopper.presses()
    shopper.reads(" placed: ")
    first, second, third = shopper.keys()
    assert first == second != third


def test_two_orders_are_two(shopper):
    for _ in range(2):
        shopper.presses()
        shopper.reads(" placed: ")
        shopper.browser.execute_script("document.getElementById('notice').textContent = ''")
    assert shopper.bought() == 2 and len(set(shopper.keys())) == 2


def test_a_list_that_fails_hides_no_order(shopper):
    shopper.browser.execute_script("""
        const send = window.fetch;
        window.fetch = (url, init) => (/orders\\?|analytics.users/.test(url)
          ? Promise.reject(new TypeError('no list')) : send(url, init));""")
    shopper.presses()
    shopper.reads(" placed: ")
    wait_for(shopper.browser, find(shopper.browser, f"order-{shopper.product}").is_enabled, "still busy")
    shopper.reads(" placed: ")
