"""A listener whose kernel drops SYNs, as a network does that loses them: its backlog is full."""

import pathlib
import socket

from waiting import until

SYN_SENT = "02"


class Deaf:
    """Deaf until `hear()`; what connected before then is closed."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        while len(self.fillers) < 8:
            filler = socket.socket()
            filler.settimeout(0.2)
            self.fillers.append(filler)
            try:
                filler.connect(("127.0.0.1", self.port))
            except TimeoutError:
                filler.close()
                return
        raise AssertionError("this kernel drops no SYN")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def knocking(self):
        """Local ports of the connections whose SYN nobody answered yet."""
        rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return {local for _, local, remote, state, *_ in rows if state == SYN_SENT and remote.endswith(f":{self.port:04X}")}

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
