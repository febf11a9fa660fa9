"""A TCP proxy to stand between a program and its server: it cuts, freezes, refuses, delays and slows."""

import asyncio
import collections
import contextlib
import socket
import threading

CHUNK = 65536
COMMIT = b"\x07\x00\x00\x00\x03COMMIT"  # one packet of MariaDB's protocol: length, number 0, COM_QUERY, text


class Link:
    """One connection: the client's side and the server's."""

    def __init__(self, client, server):
        self.client, self.server = client, server  # (reader, writer) each
        for _, writer in (client, server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self):
        """At once; what was not sent yet is lost."""
        for _, writer in (self.client, self.server):
            writer.transport.abort()

    def end(self):
        """What was passed on still arrives."""
        for _, writer in (self.client, self.server):
            writer.close()


class Proxy:
    """Passes everything on to port `target` of loopback, until told otherwise, from any thread.

    A subclass that knows the protocol reads whole messages (`read`) and judges each of them: `request` and
    `answer` return what is passed on, b"" for nothing, or None to reset the connection instead.
    """

    def __init__(self, target, port=0):
        self.target = target
        self.delay_s = 0  # every piece waits so long, each way
        self.bytes_per_s = 0  # 0: no limit; each way of each connection
        self.counts = collections.Counter()
        self.links = set()
        self.lost = set()  # links that are reset in the place of their next answer
        self.errors = []  # of the proxy itself: it must not hide them behind a lost connection
        self.server = None
        self.loop = asyncio.new_event_loop()
        self.flowing = asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = port
        self._do(self._listen)
        self.thaw()

    # ---- what a test may do ----

    def cut(self):
        """Resets every connection."""
        self._do(self._cut)

    def freeze(self):
        """Nothing passes, and nobody is told."""
        self._do(self.flowing.clear)

    def thaw(self):
        self._do(self.flowing.set)

    def refuse(self):
        """As if the server were gone."""
        self._do(self._refuse)

    def accept(self):
        self._do(self._listen)

    def close(self):
        if self.thread.is_alive():
            self._do(self._finish)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)
            self.loop.close()
        assert not self.errors, self.errors

    # ---- what a subclass may know better ----

    async def read(self, reader):
        return await reader.read(CHUNK)

    async def request(self, link, data):
        return data

    async def answer(self, link, data):
        if link not in self.lost:
            return data
        self.lost.discard(link)
        return None

    # ---- on the loop ----

    def _do(self, function):
        async def call():
            done = function()
            return await done if asyncio.iscoroutine(done) else done

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(10)

    async def _listen(self):
        if not (self.server and self.server.is_serving()):
            self.server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=1 << 24)
            self.port = self.server.sockets[0].getsockname()[1]

    def _cut(self):
        self.counts["cut"] += len(self.links)
        for link in list(self.links):
            link.reset()

    async def _refuse(self):
        self.server.close()
        self._cut()
        await asyncio.sleep(0)  # lets the resets out

    async def _finish(self):
        """Leaves no task behind, also when frozen."""
        await self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, *client):
        try:
            link = Link(client, await asyncio.open_connection("127.0.0.1", self.target, limit=1 << 24))
        except OSError:
            client[1].transport.abort()
            return
        self.links.add(link)
        ways = ((link.client[0], link.server[1], self.request), (link.server[0], link.client[1], self.answer))
        pumps = [asyncio.ensure_future(self._pump(link, *way)) for way in ways]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        link.end()
        for pump in pumps:
            pump.cancel()
        ends = await asyncio.gather(*pumps, return_exceptions=True)
        self.errors += [end for end in ends if isinstance(end, Exception)]
        self.links.discard(link)

    def _count_delays(self):
        self.counts["held up"] += not self.flowing.is_set()
        self.counts["slowed"] += bool(self.delay_s or self.bytes_per_s)

    async def _pump(self, link, reader, writer, judge):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await self.read(reader):
                self._count_delays()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self.flowing.wait()
                data = await judge(link, data)
                if data is None:
                    link.reset()
                    return
                writer.write(data)
                await writer.drain()
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
