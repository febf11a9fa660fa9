"""Own figures, while the stream tells of the orders of others."""

import pytest
from page import answer_instead, text_of, wait_for

# A stream of best customers that the visitor is not among: window.event() sends the next.
STREAM = """
return new Response(new ReadableStream({ start(controller) {
    window.event = () => controller.enqueue(new TextEncoder().encode(
        'event: top-users\\ndata: {"top_users": []}\\n\\n'));
} }));
"""
# Answers wait in window.held; each says what window.spent is when it comes.
HELD_FIGURES = """
window.asked = [...(window.asked || []), Date.now()];
if (window.spent === undefined) return new Response('{"total_spent": 0, "customer_tier": "Regular"}');
await new Promise((resolve) => { window.held = resolve; });
if (window.spent === null) return problem(503, 'not_caught_up');
return new Response(JSON.stringify({ total_spent: window.spent, customer_tier: 'Regular' }));
"""


@pytest.fixture
def watched(stack, browser):
    """The page, on which only what the test sends is new."""
    answer_instead(browser, "/api/analytics/stream", STREAM)
    answer_instead(browser, "/api/analytics/users/", HELD_FIGURES)
    browser.get(stack.frontend)
    wait_for(browser, lambda: text_of(browser, "my-total") == "$0.00", "no figures")
    browser.execute_script("window.asked = []")
    return browser


def asked(browser):
    """When own figures were asked for, in ms."""
    return browser.execute_script("return window.asked")


def test_own_figures_are_asked_for_seldom(watched):
    watched.execute_async_script(
        "window.spent = 1; for (let n = 0; n < 20; n++) window.event(); setTimeout(arguments[0], 100)"
    )
    wait_for(watched, lambda: asked(watched), "nothing was asked")
    watched.execute_script("window.held(); window.event()")
    wait_for(watched, lambda: text_of(watched, "my-total") == "$1.00", "the first figures")
    watched.execute_script("window.spent = 2")
    wait_for(watched, lambda: len(asked(watched)) == 2, "the last events were forgotten")
    watched.execute_script("window.held()")
    wait_for(watched, lambda: text_of(watched, "my-total") == "$2.00", "the last figures")
    first, second = asked(watched)
    assert second - first >= 2000


def test_figures_that_fail_hide_no_notice(watched):
    watched.execute_script(
        "window.spent = null; document.getElementById('notice').textContent = 'Order 1 placed'; window.event()"
    )
    wait_for(watched, lambda: asked(watched), "nothing was asked")
    watched.execute_async_script("window.held(); setTimeout(arguments[0], 100)")
    assert text_of(watched, "notice") == "Order 1 placed"
