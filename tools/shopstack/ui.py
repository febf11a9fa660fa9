"""What the person at the terminal sees: progress lines with the time, and errors."""

import sys
import threading
import time


class StackError(Exception):
    """Something to tell the user in one or a few lines; never a traceback."""


class Progress:
    """Prints "[ 3.1 s] kafka ready" to stderr, from any thread."""

    def __init__(self, quiet=False):
        self.began = time.monotonic()
        self.quiet = quiet
        self.lock = threading.Lock()

    def say(self, text):
        if self.quiet:
            return
        with self.lock:
            print(f"[{time.monotonic() - self.began:5.1f} s] {text}", file=sys.stderr, flush=True)


def tail(path, lines=15):
    """The last lines of a log, for an error message."""
    try:
        with open(path, "rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - 16384))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return "  (no log)"
    return "\n".join("  " + line for line in text.splitlines()[-lines:]) or "  (log is empty)"
