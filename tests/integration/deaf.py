"""The kernel's table of TCP; and a listener whose kernel drops SYNs as a lossy network does: its backlog is full."""

import pathlib
import socket

from waiting import until

SYN_SENT = "02"


def tcp_table():
    """[local address, remote address, state, queues, ...] of all connections, as the kernel writes them."""
    return [line.split()[1:] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]


def queued_between(one, other):
    """{port: (bytes that it sent and the other has not yet, bytes that came and nobody read)} of one connection."""
    rows = {tuple(int(address[-4:], 16) for address in row[:2]): row[3] for row in tcp_table()}
    ends = {one: rows[one, other], other: rows[other, one]}
    return {port: tuple(int(text, 16) for text in queues.split(":")) for port, queues in ends.items()}


class Deaf:
    """Deaf until `hear()`; what connected before then is closed."""

    def __init__(self, host="127.0.0.1", port=0):
        self.listener = socket.create_server((host, port), backlog=0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        while len(self.fillers) < 8:
            filler = socket.socket()
            filler.settimeout(0.2)
            self.fillers.append(filler)
            try:
                filler.connect((host, self.port))
            except TimeoutError:
                filler.close()
                return
        raise AssertionError("this kernel drops no SYN")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def knocking(self):
        """Local ports of the connections whose SYN nobody answered yet."""
        ours = [row for row in tcp_table() if row[1].endswith(f":{self.port:04X}")]
        return {local for local, _, state, *_ in ours if state == SYN_SENT}

    def knocks(self, n, seconds=10):
        """Waits until so many different connections were tried."""
        seen = set()
        until(lambda: seen.update(self.knocking()) or len(seen) >= n, seconds, f"{n} connections")

    def hear(self):
        """The listener, to accept on."""
        for filler in self.fillers:
            filler.close()
        self.listener.listen(128)
        return self.listener

    def close(self):
        self.listener.close()
