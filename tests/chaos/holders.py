"""Who holds what: of two faults that overlap on one target, the first to end must not end the other."""

import collections
import threading


class Holders:
    def __init__(self):
        self.lock, self.counts = threading.Lock(), collections.Counter()

    def take(self, what):
        with self.lock:
            self.counts[what] += 1

    def release(self, what):
        """True when nobody holds it any more."""
        with self.lock:
            self.counts[what] -= 1
            last = self.counts[what] <= 0
            if last:
                del self.counts[what]
            return last

    def clear(self):
        with self.lock:
            self.counts.clear()

    def __contains__(self, what):
        return self.counts[what] > 0
