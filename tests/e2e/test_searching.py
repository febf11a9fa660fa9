"""What the catalogue shows: the last thing that was asked for, once, and also while the database is away."""

import pytest
from page import answer_instead, find, text_of, wait_for
from selenium.webdriver.common.by import By
from waiting import until

# The shop has pages of one product, each named after the search and the cursor; answers wait in window.held.
HELD_PAGES = """
window.held ??= [];
await new Promise((resolve) => { window.held.push(resolve); });
if (window.fails) return problem(503, 'unavailable');
const asked = new URLSearchParams(url.split('?')[1]);
const name = `${asked.get('q') || 'all'} ${asked.get('cursor') || 'first'}`;
return new Response(JSON.stringify({ next_cursor: 'next', products: [
    { product_id: name, name, category: 'test', price: 1, in_stock: true }] }));
"""


class Visitor:
    """Searches, and decides when answers come."""

    def __init__(self, stack, browser):
        self.browser = browser
        answer_instead(browser, "/api/products?", HELD_PAGES)
        browser.get(stack.frontend)
        self.waits_for(1)
        self.gets(0)
        self.sees("all first")

    def searches(self, text):
        self.browser.execute_script(
            "document.getElementById('q').value = arguments[0]; document.getElementById('search').requestSubmit()", text
        )

    def presses_more(self):
        self.browser.execute_script("document.getElementById('more').click()")

    def waits_for(self, answers):
        count = "return window.held.length === arguments[0]"
        wait_for(self.browser, lambda: self.browser.execute_script(count, answers), f"{answers} questions")

    def gets(self, number):
        """This answer, and a moment in which the page could do something wrong with it."""
        self.browser.execute_async_script("window.held[arguments[0]](); setTimeout(arguments[1], 100)", number)

    def cards(self):
        return [card.text for card in self.browser.find_elements(By.CSS_SELECTOR, "#catalog h3")]

    def sees(self, *cards):
        wait_for(self.browser, lambda: self.cards() == list(cards), f"{cards} and nothing else")

    def may_press_more(self):
        return self.browser.find_element(By.ID, "more").is_enabled()


@pytest.fixture
def visitor(stack, browser):
    return Visitor(stack, browser)


def test_an_answer_that_was_overtaken_is_not_shown(visitor):
    visitor.searches("old")
    visitor.searches("new")
    visitor.waits_for(3)
    visitor.gets(2)
    visitor.sees("new first")
    visitor.gets(1)
    visitor.sees("new first")
    visitor.presses_more()
    visitor.waits_for(4)
    visitor.gets(3)
    visitor.sees("new first", "new next")


def test_a_failure_that_was_overtaken_is_not_shown(visitor):
    visitor.searches("old")
    visitor.searches("new")
    visitor.waits_for(3)
    visitor.gets(2)
    visitor.sees("new first")
    visitor.browser.execute_script("window.fails = true")
    visitor.gets(1)
    assert text_of(visitor.browser, "notice") == "" and visitor.may_press_more()


def test_more_pressed_twice_comes_once(visitor):
    visitor.presses_more()
    visitor.presses_more()
    visitor.waits_for(2)
    assert not visitor.may_press_more()
    visitor.gets(1)
    visitor.sees("all first", "all next")
    assert visitor.may_press_more()


def test_more_does_not_get_into_a_new_search(visitor):
    visitor.presses_more()
    visitor.waits_for(2)
    visitor.searches("new")
    visitor.waits_for(3)
    visitor.gets(1)
    visitor.sees("all first")
    assert not visitor.may_press_more(), "while a search is under way"
    visitor.gets(2)
    visitor.sees("new first")
    assert visitor.may_press_more()


def test_more_goes_on_with_what_is_shown(visitor):
    visitor.browser.execute_script("document.getElementById('q').value = 'not searched yet'")
    visitor.presses_more()
    visitor.waits_for(2)
    visitor.gets(1)
    visitor.sees("all first", "all next")


def test_more_that_failed_can_be_pressed_again(visitor):
    visitor.browser.execute_script("window.fails = true")
    visitor.presses_more()
    visitor.waits_for(2)
    visitor.gets(1)
    wait_for(visitor.browser, lambda: text_of(visitor.browser, "notice") == "unavailable", "no word about it")
    visitor.browser.execute_script("window.fails = false")
    visitor.presses_more()
    visitor.waits_for(3)
    visitor.gets(2)
    visitor.sees("all first", "all next")


def from_memory(stack):
    """Reads that needed no database."""
    kinds = ("copy", "stale_copy")
    return sum(stack.metric("product-svc", "shop_catalogue_reads_total", f'from="{kind}"') for kind in kinds)


def test_the_catalogue_outlives_the_database(stack, browser):
    browser.get(stack.frontend)
    find(browser, "order-LAPTOP001")
    stack.stop("mysql")
    try:
        before = from_memory(stack)
        browser.refresh()
        find(browser, "order-LAPTOP001")
        assert from_memory(stack) > before
    finally:
        stack.start("mysql")
        until(lambda: stack.order(1, "LAPTOP001").status_code == 201, 30, "an order with the database back")
