"""A proxy that knows Kafka's requests: it loses the answer, the request, or only time; or answers with an error.

Everybody who comes through it is led back to it: answers name brokers by address, and it puts its own there.
"""

import asyncio
import struct

from proxy import Proxy

PRODUCE, FETCH, LIST_OFFSETS, METADATA, FIND_COORDINATOR = 0, 1, 2, 3, 10
INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT = 22, 24, 25, 26, 28
NAMES_BROKERS = (METADATA, FIND_COORDINATOR)

# Error codes of the protocol.
COORDINATOR_LOADING, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS = 14, 16, 51
TOPIC_DENIED, GROUP_DENIED, ID_DENIED = 29, 30, 53


class Fault:
    """What happens to the next `left` requests of one kind."""

    def __init__(self, what, left, value=None):
        self.what, self.left, self.value = what, left, value


class KafkaProxy(Proxy):
    """`counts` tells by (fault, api) how often each was done."""

    def __init__(self, target, port=0):
        self.faults, self.pending, self.hidden = {}, {}, {}
        super().__init__(target, port)

    def eat(self, api, times=1):
        """The broker does it, but the connection ends instead of the answer."""
        self.faults[api] = Fault("eat", times)

    def drop(self, api, times=1):
        """The connection ends before the broker has got it."""
        self.faults[api] = Fault("drop", times)

    def hang(self, api):
        """The connection ends before the broker has got it, and from then on nothing passes: see freeze()."""
        self.faults[api] = Fault("hang", 1)

    def delay(self, api, seconds, times=1):
        self.faults[api] = Fault("delay", times, seconds)

    def fail(self, api, error, times=1):
        """The answer says `error`.  An EndTxn is then not carried out; of the others the broker has done
        what does no harm when it is asked again, or when the transaction is aborted."""
        self.faults[api] = Fault("fail", times, error)

    def pretend(self, api=ADD_PARTITIONS_TO_TXN, times=1):
        """The broker is asked about a producer that it does not know, and refuses; the answer says that it was done."""
        self.faults[api] = Fault("pretend", times, 0)

    def hide(self, topic, times=1):
        """So many answers that tell of the topic tell of other partitions than there are."""
        self.hidden[topic.encode()] = times

    def done(self, what, api):
        return self.counts[what, api]

    # ---- one whole message at a time ----

    async def read(self, reader):
        size = await reader.readexactly(4)
        return size + await reader.readexactly(struct.unpack(">i", size)[0])

    async def request(self, link, data):
        api, version, number = struct.unpack_from(">hhi", data, 4)
        fault = None if self._eats(api) else self._take(api)
        what = fault and fault.what
        if what == "delay":
            await asyncio.sleep(fault.value)
        if what == "hang":
            self.flowing.clear()
        if what == "pretend":
            data = _of_nobody(data)
        if what in ("fail", "pretend") or self._eats(api) or api in NAMES_BROKERS:
            self.pending[link, number] = (api, version, fault)
        elif what:
            self.counts[what, api] += 1
        if what == "fail" and api == END_TXN:
            link.client[1].write(await self.answer(link, _message(struct.pack(">iih", number, 0, 0))))
            return b""
        return None if what in ("drop", "hang") else data

    def _eats(self, api):
        """Taken with the answer: of two requests on one connection, the first lost answer ends it for both."""
        fault = self.faults.get(api)
        return bool(fault and fault.left and fault.what == "eat")

    def _take(self, api):
        fault = self.faults.get(api)
        if not fault or not fault.left:
            return None
        fault.left -= 1
        return fault

    async def answer(self, link, data):
        api, version, fault = self.pending.pop((link, struct.unpack_from(">i", data, 4)[0]), (None, None, None))
        if self._eats(api):
            fault = self._take(api)
        if fault:
            self.counts[fault.what, api] += 1
            if fault.what == "eat":
                return None
            return _message(with_error(api, version, data[4:], fault.value))
        if api == METADATA and any(self.hidden.values()):
            data = self._without_hidden(data)
        if api in NAMES_BROKERS:
            host = b"127.0.0.1"
            return data.replace(host + struct.pack(">i", self.target), host + struct.pack(">i", self.port))
        return data


    def _without_hidden(self, data):
        walk = _Walk(data[4:], None, flexible=False)
        walk.skip(4)  # throttle time
        for _ in walk.times():
            walk.skip(4)
            walk.text()
            walk.skip(4)  # port
            walk.text()  # rack
        walk.text()  # the cluster
        walk.skip(4)  # the controller
        for _ in walk.times():
            walk.skip(2)
            name = walk.text()
            walk.skip(1)
            hide = self.hidden.get(name, 0) > 0
            if hide:
                self.hidden[name] -= 1
            for _ in walk.times():
                walk.skip(2)
                if hide:
                    struct.pack_into(">i", walk.body, walk.at, 1000 + struct.unpack_from(">i", walk.body, walk.at)[0])
                walk.skip(8)  # number, leader
                for _ in range(2):  # replicas, those in sync
                    walk.skip(4 * len(walk.times()))
        return _message(bytes(walk.body))


def _message(body):
    return struct.pack(">i", len(body)) + body


def _of_nobody(data):
    """An AddPartitionsToTxn with another producer's number."""
    at = 12  # size, api, version, correlation id
    for _ in range(2):  # the client's name, the transaction's
        at += 2 + struct.unpack_from(">h", data, at)[0]
    return data[:at] + struct.pack(">q", 0x7FFFFFFF) + data[at + 8 :]


# ---- answers with another error code; versions as librdkafka 2.0.2 asks for them ----


class _Walk:
    """Goes through an answer and overwrites error codes where they stand."""

    def __init__(self, body, error, flexible):
        self.body, self.error, self.flexible, self.at = bytearray(body), error, flexible, 4

    def skip(self, count):
        self.at += count

    def put_error(self):
        struct.pack_into(">h", self.body, self.at, self.error)
        self.at += 2

    def _varint(self):
        value = shift = 0
        while True:
            byte = self.body[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _fixed(self, form):
        value = struct.unpack_from(form, self.body, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def times(self):
        return range(self._varint() - 1 if self.flexible else self._fixed(">i"))

    def text(self):
        size = max(0, self._varint() - 1 if self.flexible else self._fixed(">h"))
        self.skip(size)
        return bytes(self.body[self.at - size : self.at])

    def tags(self):
        if self.flexible:
            assert self._varint() == 0


def with_error(api, version, body, error):
    """`body` begins with the correlation id; every error code in it becomes `error`."""
    walk = _Walk(body, error, flexible=(api, version) == (TXN_OFFSET_COMMIT, 3))
    if api in (ADD_OFFSETS_TO_TXN, END_TXN):
        walk.skip(4)  # throttle time
        walk.put_error()
        return bytes(walk.body)
    assert api in (PRODUCE, ADD_PARTITIONS_TO_TXN, TXN_OFFSET_COMMIT), api
    walk.tags()
    walk.skip(0 if api == PRODUCE else 4)
    for _ in walk.times():
        walk.text()
        for _ in walk.times():
            walk.skip(4)  # partition
            walk.put_error()
            walk.skip(24 if api == PRODUCE else 0)  # offset, time, first offset
            walk.tags()
        walk.tags()
    return bytes(walk.body)
