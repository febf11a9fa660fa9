#!/usr/bin/python3
"""chores.py SOCKET: what podman's containers need and nobody else does here, until it is ended.

Health checks, each at its own interval: podman leaves them to systemd's timers.  Asks its API, as
`podman healthcheck run` would start a process for every look.

Names: aardvark-dns 1.4 misses the second of two signals that come at once, and then does not know
the second of two containers that start at once.  So it is told again when all is quiet, twice, as it
may be at work just then.
"""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

AARDVARK = pathlib.Path("/run/containers/networks/aardvark-dns")
TELL_TIMES = 2
STARTING_S = 1
DEFAULT_S = 30
LOOK_S = 0.5


class Local(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("podman", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, what):
    connection = Local(path)
    try:
        connection.request("GET", f"/v4.0.0/libpod/containers/{what}")
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    finally:
        connection.close()


def interval_of(path, name):
    """Seconds between two checks; None without any."""
    found = ask(path, f"{name}/json") or {}
    check = found.get("Config", {}).get("Healthcheck")
    if not check or check.get("Test", ["NONE"])[0] == "NONE":
        return None
    return check.get("Interval", 0) / 1e9 or DEFAULT_S


class Checks:
    def __init__(self, path):
        self.path = path
        self.intervals = {}  # container -> seconds or None
        self.due = {}  # container -> when

    def run(self, name):
        answer = ask(self.path, f"{name}/healthcheck") or {}
        starting = answer.get("Status") != "healthy"
        self.due[name] = time.monotonic() + (STARTING_S if starting else self.intervals[name])

    def look(self, pool):
        there = {one["Id"] for one in ask(self.path, "json") or []}
        for gone in self.intervals.keys() - there:
            self.intervals.pop(gone)
            self.due.pop(gone, None)
        for name in there - self.intervals.keys():
            self.intervals[name] = interval_of(self.path, name)
        now = time.monotonic()
        wanted = [n for n, every in self.intervals.items() if every and self.due.get(n, 0) <= now]
        list(pool.map(self.run, wanted))


class Names:
    def __init__(self):
        self.seen = 0
        self.left = 0  # how often to tell it of what was seen

    def look(self):
        newest = max((file.stat().st_mtime_ns for file in AARDVARK.glob("*") if file.suffix != ".pid"), default=0)
        if newest != self.seen:
            self.seen, self.left = newest, TELL_TIMES
        elif self.left:
            self.left -= 1
            os.kill(int((AARDVARK / "aardvark.pid").read_text()), signal.SIGHUP)


def main(path):
    checks, names = Checks(path), Names()
    with ThreadPoolExecutor(4) as pool:
        while True:
            with contextlib.suppress(OSError, ValueError):  # on its way
                names.look()
            try:
                checks.look(pool)
            except (OSError, http.client.HTTPException, ValueError):
                pass  # not up yet, or a container went away
            time.sleep(LOOK_S)


if __name__ == "__main__":
    main(sys.argv[1])
