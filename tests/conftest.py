"""Fixtures of the integration and browser tests: a real stack.

`stack` is shared by the whole run; leave it as you found it (restart what you kill), and
use new users and products instead of counting on numbers.  `new_stack(**options)` starts one
for a test that needs other settings or breaks something for good.
"""

import contextlib
import os
import signal
import threading

import pytest
from shop_stack import Stack


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: long outages and the like, for `tools/run-tests slow`")
    # Whoever ends a run early must not leave its stacks behind: fixtures clean up, as after Ctrl-C.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to end", 143))


@pytest.fixture(scope="session")
def stack():
    folder = os.environ.get("SHOP_STACK_DIR")
    shared = Stack(folder)
    try:
        shared.up()
        yield shared
    finally:
        # A named folder is for working on tests: it stays up for the next run.
        if not folder:
            shared.close()


@pytest.fixture(scope="module")
def closed():
    """A stack where everybody has to sign in, for all tests of a file."""
    shop = Stack()
    try:
        yield shop.up(auth="required")
    finally:
        shop.close()


@pytest.fixture(autouse=True)
def nothing_died(request):
    """A process that dies counts against the test that killed it, and only that one."""
    shared = "stack" in request.fixturenames and request.getfixturevalue("stack")
    yield
    died = shared.revive() if shared else []
    assert not died, "\n".join(died)


@pytest.fixture
def new_stack():
    with contextlib.ExitStack() as made:

        def start(**options):
            one = Stack()
            made.callback(one.close)
            return one.up(**options)

        yield start
