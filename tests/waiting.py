"""Waiting for what tests cannot be told of."""

import time


def until(check, seconds=20, what="the condition", pause=0.02):
    """Waits for check() to be true; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(pause)
