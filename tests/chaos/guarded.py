"""Threads that see things: one that ends by mistake says so, else its silence would pass for "nothing wrong"."""

import threading


class Guarded(threading.Thread):
    """Subclasses have `work`; who waits for the end reads `errors`."""

    def __init__(self):
        super().__init__(daemon=True)
        self.errors = []

    def run(self):
        self.guard(self.work)

    def guard(self, function, *args):
        try:
            return function(*args)
        except Exception as error:
            self.errors.append(f"{type(self).__name__}: {type(error).__name__}: {error}")
            return None
