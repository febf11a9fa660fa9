"""A name server for tests: answers A questions from a table that a test may change at any time."""

import ipaddress
import os
import socket
import struct
import threading
import time

A, SERVER_FAILED, NO_SUCH_NAME = 1, 2, 3
UNKNOWN = ()


class Dns:
    """`names`: name -> addresses, None: the server fails.  An unknown name does not exist; while `mute`, nobody is answered.
    `times`: of every question."""

    def __init__(self):
        self.names, self.mute, self.times = {}, False, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                query, sender = self.sock.recvfrom(512)
            except OSError:
                return
            if not query:  # from close()
                return
            self.times.append(time.monotonic())
            if not self.mute:
                self.sock.sendto(self._answer(query), sender)

    @property
    def asked(self):
        return len(self.times)

    def _answer(self, query):
        end = query.index(0, 12)
        name, at = [], 12
        while at < end:
            name.append(query[at + 1 : at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[end + 1 : end + 3])[0]
        addresses = self.names.get(".".join(name), UNKNOWN)
        found = addresses or [] if kind == A else []
        flags = 0x8180 | (NO_SUCH_NAME if addresses is UNKNOWN else SERVER_FAILED if addresses is None else 0)
        head = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
        records = b"".join(struct.pack(">HHHLH", 0xC00C, A, 1, 0, 4) + ipaddress.IPv4Address(one).packed for one in found)
        return head + query[12 : end + 5] + records

    def close(self):
        self.sock.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join(5)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def program_with_dns(program, dns, folder):
    """A script that runs `program` where resolv.conf names this server: in a mount namespace of its own."""
    (folder / "resolv.conf").write_text(f"nameserver 127.0.0.1:{dns.port}\n")
    unshare = "unshare -m" if os.geteuid() == 0 else "unshare -rm"
    mount = f"mount --bind {folder}/resolv.conf /etc/resolv.conf && exec {program}"
    script = folder / "with-dns"
    script.write_text(f"#!/bin/sh\nexec {unshare} sh -c '{mount}'\n")
    script.chmod(0o755)
    return str(script)
