"""Free ports on the loopback address."""

import random
import socket

# Below the kernel's ephemeral range, so that no outgoing connection takes one
# between our look and the server's bind().
FIRST, LAST = 12000, 32000


def is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_open(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Ports:
    """Gives each name a port: the one it had before if still free, else a nice one, else any."""

    def __init__(self, remembered, held=()):
        self.by_name = dict(remembered)
        self.held = set(held)  # names whose port our own running process has

    def get(self, name, nice=None):
        if name in self.held and name in self.by_name:
            return self.by_name[name]
        taken = {port for other, port in self.by_name.items() if other != name}
        for port in (nice, self.by_name.get(name)):
            if port and port not in taken and is_free(port):
                self.by_name[name] = port
                return port
        while True:
            port = random.randrange(FIRST, LAST)
            if port not in taken and is_free(port):
                self.by_name[name] = port
                return port
