"""A gateway of its own with scripted raw upstreams, for tests that need full control of the bytes.

    with Upstream(handler) as up, Gateway({"/x": up}) as gw: ...

A handler gets one accepted connection (class Conn) and may send and read what it likes.
"""

import contextlib
import json
import os
import pathlib
import socket
import tempfile
import threading
import time

from alone import Process, binary
from shop_stack import MODE, until

SECRET = "0123456789abcdef-test-secret"


class Conn:
    """One raw connection with a read buffer."""

    def __init__(self, sock):
        self.sock = sock
        self.buf = b""
        sock.settimeout(10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def fill(self):
        data = self.sock.recv(65536)
        self.buf += data
        return bool(data)

    def until(self, mark):
        """Bytes up to and including `mark`; EOFError when the peer closes before."""
        while mark not in self.buf:
            if not self.fill():
                raise EOFError(self.buf)
        end = self.buf.index(mark) + len(mark)
        out, self.buf = self.buf[:end], self.buf[end:]
        return out

    def exactly(self, n):
        while len(self.buf) < n:
            if not self.fill():
                raise EOFError(self.buf)
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def head(self):
        """(first line, [(lower-case name, value)])"""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = [line.split(": ", 1) for line in lines[1:] if line]
        return lines[0], [(name.lower(), value) for name, value in fields]

    def chunked(self):
        body = b""
        while True:
            size = int(self.until(b"\r\n"), 16)
            body += self.exactly(size)
            self.until(b"\r\n")
            if size == 0:
                return body

    def body(self, fields, head_only=False):
        fields = dict(fields)
        if head_only:
            return b""
        if "transfer-encoding" in fields:
            return self.chunked()
        return self.exactly(int(fields.get("content-length", 0)))

    def request(self):
        """(method, target, fields, body) as an upstream sees it."""
        line, fields = self.head()
        method, target, _ = line.split(" ")
        return method, target, fields, self.body(fields)

    def response(self, head_only=False):
        """(status, fields, body) as a client sees it."""
        while True:
            line, fields = self.head()
            status = int(line.split(" ")[1])
            if status >= 200:
                break
        if status in (204, 304):
            head_only = True
        return status, fields, self.body(fields, head_only)

    def rest(self):
        while self.fill():
            pass
        return self.buf

    def closed(self):
        """Waits until the peer closes; what it sent meanwhile is dropped."""
        try:
            self.rest()
        except ConnectionResetError:
            pass
        return True

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()

    def close(self):
        self.sock.close()


def reply(body=b"ok", status="200 OK", extra=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


class Upstream:
    """Accepts on a free port (or this one, or this listener); each connection runs `handler(conn, self)` on a thread."""

    def __init__(self, handler, host="127.0.0.1", port=0, listener=None):
        self.handler = handler
        self.listener = listener or socket.create_server((host, port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.conns = []
        self.n_conns = self.n_requests = 0  # requests: of always()
        self.errors = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.n_conns += 1
            self.conns.append(sock)
            threading.Thread(target=self._run, args=(Conn(sock),), daemon=True).start()

    def _run(self, conn):
        try:
            self.handler(conn, self)
        except (EOFError, OSError):
            pass
        except Exception as error:  # shown by the test that owns us
            self.errors.append(error)
        finally:
            conn.close()

    def stop_accepting(self):
        # close() alone would leave the accept() of the other thread running
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def close(self):
        self.stop_accepting()
        for sock in self.conns:
            sock.close()
        assert not self.errors, self.errors

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def always(response):
    """A handler that answers every request on a kept connection the same way."""

    def handler(conn, up):
        while True:
            conn.request()
            up.n_requests += 1
            conn.send(response)

    return handler


class Gateway(Process):
    """`routes`: path -> Upstream, list of Upstreams, or (upstreams, dict of further members).

    `upstreams` adds members to those of the table (up0, up1 …), or further ones.
    """

    def __init__(self, routes, threads=1, more_routes=(), upstreams=None, program=None, **env):
        self.dir = tempfile.TemporaryDirectory(prefix="gateway-rig-")
        folder = pathlib.Path(self.dir.name)
        table = self._table(routes, more_routes)
        for name, members in (upstreams or {}).items():
            table["upstreams"].setdefault(name, {}).update(members)
        (folder / "routes.json").write_text(json.dumps(table))
        super().__init__(
            program or binary("gateway", MODE),
            {
                "PATH": os.environ["PATH"],
                "ROUTES_FILE": str(folder / "routes.json"),
                "THREADS": str(threads),
                "SERVICE_SECRET": SECRET,
                "DRAIN_WAIT_MS": "0",
                "DRAIN_MAX_MS": "5000",
                # freed memory that a sanitizer keeps back would look like growth
                "ASAN_OPTIONS": "quarantine_size_mb=1:thread_local_quarantine_size_kb=64",
                **env,
            },
            folder / "log",
            wait=False,
            listeners=["LISTEN", "INTERNAL_LISTEN", "ADMIN_LISTEN"],
        )
        self.http, self.internal = self.ports["LISTEN"], self.ports["INTERNAL_LISTEN"]
        until(self.listens, 10, "a listener")

    @staticmethod
    def _table(routes, more_routes):
        table = {"upstreams": {}, "routes": [*more_routes]}
        for i, (path, target) in enumerate(routes.items()):
            more = {}
            if isinstance(target, tuple):
                target, more = target
            target = target if isinstance(target, list) else [target]
            more = dict(more)
            admin = more.pop("admin", None)
            name = f"up{i}"
            table["upstreams"][name] = {"endpoints": ",".join(u.url for u in target)}
            if admin:
                table["upstreams"][name]["admin"] = ",".join(u.url for u in admin)
            table["routes"].append(
                {"path": path, "methods": ["GET", "POST", "PUT", "DELETE"], "who": ["anyone"], "upstream": name, **more}
            )
        return table

    def listens(self):
        assert self.child.poll() is None, self.text()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.http), timeout=1).close()
            return True
        return False

    def log_lines(self, msg="request"):
        # Lines of a busy gateway wait for others, but not long.
        time.sleep(0.15)
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["msg"] == msg]

    def connect(self, internal=False):
        return Conn(socket.create_connection(("127.0.0.1", self.internal if internal else self.http)))

    def ask(self, text, internal=False):
        """Sends one request on a connection of its own, returns (status, fields, body)."""
        conn = self.connect(internal)
        conn.send(text)
        out = conn.response(head_only=text.startswith("HEAD"))
        conn.close()
        return out

    def get(self, path, *lines, internal=False):
        head = "".join(f"{line}\r\n" for line in lines)
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: shop\r\n{head}\r\n", internal)

    def metric(self, name, labels=""):
        return super().metric(name, labels) or 0

    def stop(self):
        status, text = super().stop(), self.text()
        self.dir.cleanup()
        assert status == 0, (status, text[-4000:])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(self.text()[-4000:])
        self.stop()
