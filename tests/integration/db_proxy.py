"""Proxies before the database: some cut connections at COMMIT, or at any request, before the server has got it or
after it was carried out, when only the answer is lost; one holds up statements."""

import asyncio
import threading

from proxy import COMMIT, Proxy


class DbProxy(Proxy):
    """`cut` is asked at every COMMIT: None lets it pass, "before" and "after" cut."""

    def __init__(self, port, cut):
        self.cut_where = cut
        super().__init__(port)

    async def request(self, link, data):
        where = self.cut_where() if data == COMMIT else None
        if where:
            self.counts[where] += 1
        if where == "after":
            self.lost.add(link)
        return None if where == "before" else data


class GoneProxy(DbProxy):
    """With the first answer that is lost the server is gone, until accept()."""

    async def answer(self, link, data):
        if link in self.lost:
            await self._refuse()
        return await super().answer(link, data)


class HoldProxy(Proxy):
    """Packets with `text` wait for `go_on`; the first sets `held`.  Of a statement that is the one that prepares it, and
    those with the text in a parameter."""

    def __init__(self, port, text):
        self.text, self.held, self.go_on = text, threading.Event(), threading.Event()
        super().__init__(port)

    async def request(self, link, data):
        if self.text in data:
            self.counts["held"] += 1
            self.held.set()
            while not self.go_on.is_set():
                await asyncio.sleep(0.01)
        return data


class CutOnce(Proxy):
    """Cuts at one request, whatever it is: the one of the given number from `arm` on."""

    def __init__(self, port):
        self.left, self.where = 0, None
        super().__init__(port)

    def arm(self, number, where):
        self.left, self.where = number, where

    def disarm(self):
        """Was there a request of that number?"""
        left, self.left = self.left, 0
        return left == 0

    async def request(self, link, data):
        if self.left == 0:
            return data
        self.left -= 1
        if self.left:
            return data
        if self.where == "after":
            self.lost.add(link)
        return None if self.where == "before" else data
