#!/usr/bin/python3
"""health.py SOCKET: runs the health checks of podman's containers, each at its own interval.

podman leaves that to systemd's timers.  Talks to its API, as a check by `podman healthcheck run`
would start a process for every look.  While a container is starting it is looked at every second.
"""

import http.client
import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

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


def main(path):
    checks = Checks(path)
    with ThreadPoolExecutor(4) as pool:
        while True:
            try:
                checks.look(pool)
            except (OSError, http.client.HTTPException, ValueError):
                pass  # not up yet, or a container went away
            time.sleep(LOOK_S)


if __name__ == "__main__":
    main(sys.argv[1])
