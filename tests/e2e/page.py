"""What tests do with the page."""

import json

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait


def find(browser, name, seconds=15):
    """The visible element with this data-testid."""
    where = (By.CSS_SELECTOR, f'[data-testid="{name}"]')
    wait = WebDriverWait(browser, seconds, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(
        lambda b: next((e for e in b.find_elements(*where) if e.is_displayed()), None),
        f"no element {name}",
    )


def wait_for(browser, true, why, seconds=15):
    return WebDriverWait(browser, seconds).until(lambda _: true(), why)


def text_of(browser, name):
    """In one step, shown or not: parts of the page are replaced whenever something changes."""
    return browser.execute_script("return document.querySelector(`[data-testid='${arguments[0]}']`).innerText", name)


def look_for(browser, name):
    """Types it into the search: lists that were searched are exact, the catalogue may be half a second old."""
    field = browser.find_element(By.ID, "q")
    field.clear()
    field.send_keys(name)
    field.submit()


def dialog_is_open(browser):
    return browser.execute_script("return document.getElementById('sign-in-dialog').open")


def sign_in(browser, login):
    """In the dialog, which is open."""
    for name in ("email", "password"):
        browser.find_element(By.NAME, name).send_keys(login[name])
    browser.find_element(By.CSS_SELECTOR, "#sign-in-form [type=submit]").click()
    wait_for(browser, lambda: not dialog_is_open(browser), "not signed in")


def answer_instead(browser, path, code):
    """From the next page on `code` answers requests that begin with `path`; what it returns nothing for goes on its way.

    It sees url and init, and `problem(status, code)`, which makes an answer of the gateway's form.
    """
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": f"""{{
        const send = window.fetch;
        const problem = (status, code) => new Response(JSON.stringify({{ status, code, detail: code }}), {{ status }});
        const answer = async (url, init) => {{ {code} }};
        window.fetch = async (url, init) => (
            (url.startsWith({json.dumps(path)}) && await answer(url, init)) || send(url, init));
    }}"""})  # fmt: skip
