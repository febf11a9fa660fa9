#!/usr/bin/python3
"""Adversarial HTTP/1.1 requests against HOST:PORT; needs nothing but Python.

usage: http_cases.py HOST:PORT [--path /] [--only GLOB] [--slow SECONDS] [-v]

http_cases.json lists the cases: `id`, `group`, `rfc` (section), `send` (steps), `accept`
(outcomes), and optionally `max_responses` (more of them is request smuggling), `forbid` (text that
must not come back), `timeout`, `slow` (run only with --slow, which is how long the server may
take to end such a client).

A step is text (escapes as in C; {PATH} {POST} {HOST} are replaced) or one of
  {"rep": TEXT, "n": N}            the same N times
  {"dribble": TEXT, "gap": S}      one byte at a time
  {"forever": TEXT, "gap": S}      until the server closes or --slow is over
  {"sleep": S}  {"shutdown": true}
An outcome is 'STATUS... [close|open]': final statuses in order, each ddd, dxx or OK (what a healthy
route may say); no status: nothing was answered.
"""

import argparse
import concurrent.futures
import fnmatch
import json
import pathlib
import re
import select
import socket
import sys
import time

CASES = pathlib.Path(__file__).with_name("http_cases.json")
HEALTHY = {401, 403, 404, 405, 415, 422, 429, 502, 503}


class Client:
    """One raw connection; what the server says is read even while we send."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.heard = b""
        self.closed = False

    def hear(self, wait):
        """Reads what is there; False when nothing came within `wait` seconds."""
        if not select.select([self.socket], [], [], wait)[0]:
            return False
        try:
            data = self.socket.recv(262144)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self.closed = not data
        self.heard += data
        return bool(data)

    def say(self, data):
        deadline = time.monotonic() + 20
        while data and not self.closed and time.monotonic() < deadline:
            readable, writable, _ = select.select([self.socket], [self.socket], [], 0.5)
            if readable:
                self.hear(0)
            if writable and not self.closed:
                data = data[self._send(data[:65536]) :]

    def _send(self, data):
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:  # reset: keep what was said before
            while self.hear(0):
                pass
            self.closed = True
            return 0

    def listen(self, seconds):
        end = time.monotonic() + seconds
        while not self.closed and time.monotonic() < end:
            self.hear(0.02)

    def hear_out(self, quiet):
        """Until the server closes or says nothing for `quiet` seconds."""
        while not self.closed and self.hear(quiet):
            pass


def skip_chunks(data, at):
    """Offset behind a chunked body, or None when it is not complete."""
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(data[at:end].split(b";")[0], 16)
        at = end + 2 + (size + 2 if size else 0)
        if size == 0:
            end = data.find(b"\r\n", at)
            return end + 2 if end >= 0 else None
        if at > len(data):
            return None


def statuses(data):
    """(final statuses, whatever is no HTTP answer)"""
    found, at = [], 0
    while at < len(data):
        match = re.match(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n", data[at : at + 512])
        if not match:
            return found, data[at:]
        code = int(match[1])
        end = data.find(b"\r\n\r\n", at)
        head = data[at:end].lower() + b"\r\n"
        at = end + 4
        if 100 <= code < 200:
            continue
        found.append(code)
        length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head)
        if end < 0:
            break
        if re.search(rb"\r\ntransfer-encoding: *chunked\r\n", head):
            at = skip_chunks(data, at)
            if at is None:
                break
        elif code not in (204, 304):
            at = at + int(length[1]) if length else len(data)
    return found, b""


def fits(pattern, code):
    if pattern == "OK":
        return 200 <= code < 400 or code in HEALTHY
    return str(code)[0] == pattern[0] if pattern.endswith("xx") else code == int(pattern)


def accepted(outcome, codes, closed):
    wanted = outcome.split()
    if wanted and wanted[-1] in ("close", "open"):
        if (wanted.pop() == "close") != closed:
            return False
    return len(wanted) == len(codes) and all(map(fits, wanted, codes))


def unescape(text, path="/", host="localhost"):
    for name in ("{PATH}", "{POST}"):
        text = text.replace(name, path)
    text = text.replace("{HOST}", host)
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def take_step(client, step, path, slow):
    if isinstance(step, str):
        client.say(unescape(step, path))
    elif "rep" in step:
        client.say(unescape(step["rep"], path) * step["n"])
    elif "sleep" in step:
        client.listen(step["sleep"])
    elif "dribble" in step:
        for byte in unescape(step["dribble"], path):
            client.say(bytes([byte]))
            client.hear(step.get("gap", 0.002))
    elif "shutdown" in step:
        client.socket.shutdown(socket.SHUT_WR)
    elif "forever" in step:
        end = time.monotonic() + slow
        while not client.closed and time.monotonic() < end:
            client.say(unescape(step["forever"], path))
            client.listen(step.get("gap", 0.5))


def run(case, address, path="/", slow=0):
    """None when the server did well, else what it did."""
    client = Client(address)
    for step in case["send"]:
        if not client.closed:
            take_step(client, step, path, slow)
    client.hear_out(case.get("timeout", 1.2))
    client.socket.close()
    codes, stray = statuses(client.heard)
    text = f"{' '.join(map(str, codes)) or 'nothing'} {'close' if client.closed else 'open'}"
    if stray:
        return f"{text}, and {stray[:40]!r}"
    if len(codes) > case.get("max_responses", 1000):
        return f"{text}: smuggling, at most {case['max_responses']} answers"
    if case.get("forbid") and unescape(case["forbid"]) in client.heard:
        return f"{text}, with forbidden text"
    if not any(accepted(outcome, codes, client.closed) for outcome in case["accept"]):
        return f"{text}, wanted {' | '.join(case['accept'])}"
    return None


def load(slow=False, only="*"):
    cases = json.loads(CASES.read_text())
    return [c for c in cases if fnmatch.fnmatch(c["id"], only) and (slow or not c.get("slow"))]


def run_all(cases, address, path="/", slow=0):
    """[(case, None or what went wrong)], several at a time."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(zip(cases, pool.map(lambda c: run(c, address, path, slow), cases)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target", metavar="HOST:PORT")
    parser.add_argument("--path", default="/")
    parser.add_argument("--only", default="*")
    parser.add_argument("--slow", type=float, default=0)
    parser.add_argument("-v", action="store_true", help="name the good ones too")
    args = parser.parse_args()
    host, _, port = args.target.rpartition(":")
    cases = load(args.slow > 0, args.only)
    failed = 0
    for case, fault in run_all(cases, (host, int(port)), args.path, args.slow):
        failed += fault is not None
        if fault or args.v:
            print(f"{'BAD' if fault else 'ok '} {case['id']:34} {fault or ''}  (RFC {case['rfc']})")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
