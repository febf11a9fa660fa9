"""A TCP proxy before the database that cuts connections at COMMIT: before the server has got it,
or after it was carried out, when only the answer is lost."""

import contextlib
import socket
import threading

COMMIT = b"\x07\x00\x00\x00\x03COMMIT"  # one packet: length, number 0, COM_QUERY, text


class DbProxy:
    """`cut` is asked at every COMMIT: None lets it pass, "before" and "after" cut."""

    def __init__(self, port, cut):
        self.target, self.cut = ("127.0.0.1", port), cut
        self.cuts = {"before": 0, "after": 0}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            lost = threading.Event()
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._up, args=(client, server, lost), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, lost), daemon=True).start()

    @staticmethod
    def _end(*socks):
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _up(self, client, server, lost):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                where = self.cut() if data == COMMIT else None
                if where:
                    self.cuts[where] += 1
                if where == "before":
                    break
                if where == "after":
                    lost.set()  # the answer is read and thrown away, then both sides end
                server.sendall(data)
                if where == "after":
                    return
        self._end(client, server)

    def _down(self, client, server, lost):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if lost.is_set():
                    break
                client.sendall(data)
        self._end(client, server)
        client.close()
        server.close()
