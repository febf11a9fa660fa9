"""The network between the programs and MariaDB, Kafka and the mail server: a proxy each, in a process of their own."""

import struct
import threading
from multiprocessing.managers import BaseManager

from proxy import COMMIT, Proxy
from shopstack.ports import Ports
from shopstack.store import locked

from . import private
from .holders import Holders

END_OF_MAIL = b"\r\n.\r\n"
# Kafka's requests: Produce, OffsetCommit, JoinGroup, SyncGroup, InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn,
# EndTxn, TxnOffsetCommit.
KAFKA_WRITES = {0, 8, 11, 14, 22, 24, 25, 26, 28}


def matters(server, data):
    """Is this a request whose answer is worth losing: one that changes something?"""
    if server == "mysql":
        return data == COMMIT
    if server == "mail":
        return data.endswith(END_OF_MAIL)
    if len(data) < 8:
        return False
    length, api = struct.unpack_from(">ih", data)
    return api in KAFKA_WRITES and length == len(data) - 4


class Line(Proxy):
    """The proxy before one server; all of it can be called from another process."""

    def __init__(self, server, port, target):
        self.name, self.to_lose = server, 0
        self.held, self.paces, self.lock = Holders(), [], threading.Lock()
        super().__init__(target, port)

    def lose(self, count):
        """The next requests that change something go through, and their answers do not."""
        self.to_lose = count

    # ---- each as often as it is begun ----

    def freeze(self):
        self.held.take("freeze")
        super().freeze()

    def thaw(self):
        if self.held.release("freeze"):
            super().thaw()

    def refuse(self):
        self.held.take("refuse")
        super().refuse()

    def accept(self):
        if self.held.release("refuse"):
            super().accept()

    def pace(self, delay_s=0, bytes_per_s=0):
        with self.lock:
            self.paces.append((delay_s, bytes_per_s))
            self._slow()

    def unpace(self, delay_s=0, bytes_per_s=0):
        with self.lock:
            self.paces.remove((delay_s, bytes_per_s))
            self._slow()

    def _slow(self):
        """As slow as the slowest of them."""
        self.delay_s = max((delay for delay, _ in self.paces), default=0)
        self.bytes_per_s = min((rate for _, rate in self.paces if rate), default=0)

    # ---- what was seen ----

    def seen(self):
        return dict(self.counts)

    def trouble(self):
        """The proxy's own errors since the last time."""
        errors, self.errors[:] = list(map(repr, self.errors)), []
        return errors

    async def request(self, link, data):
        if self.to_lose > 0 and matters(self.name, data):
            self.to_lose -= 1
            self.counts["lost answers"] += 1
            self.lost.add(link)
        return data


class Manager(BaseManager):
    pass


Manager.register("Line", Line)


def servers(brokers):
    """Name -> the name of its port in the stack; brokers have a listener of their own for the proxy."""
    names = ["kafka"] if brokers == 1 else [f"kafka.{n + 1}" for n in range(brokers)]
    return {"mysql": "mysql", "mail": "mail-smtp", **{name: f"{name}-behind" for name in names}}


class Net:
    """Chooses the ports before the stack starts, so that the programs find the proxies and these the servers."""

    def __init__(self, layout, brokers=1):
        behind = servers(brokers)
        with locked(layout) as store:
            ports = Ports(store.data["ports"])
            for name in (*behind.values(), *(f"line-{server}" for server in behind)):
                ports.get(name)
            store.data["ports"] = known = ports.by_name
            store.save()
        self.manager = Manager()
        self.manager.start()
        self.ports = {server: known[f"line-{server}"] for server in behind}
        self.lines = {server: self.manager.Line(server, self.ports[server], known[name]) for server, name in behind.items()}
        self.pairs = [f"{self.ports[one]}:{known[name]}" for one, name in behind.items() if name.endswith("-behind")]

    def settings(self):
        host = "mail.shop.test" if private.inside else "127.0.0.1"
        return [f"DB_PORT={self.ports['mysql']}", f"notify-svc:SMTP_URL=smtp://{host}:{self.ports['mail']}"]

    def options(self):
        return ["--kafka-proxy", *self.pairs]

    def trouble(self):
        return [f"{server}: {error}" for server, line in self.lines.items() for error in line.trouble()]

    def close(self):
        self.manager.shutdown()
