"""Requests that the Kafka client of the tests does not know, written by hand."""

import socket
import struct

FIND_COORDINATOR, DELETE_RECORDS = 10, 21
TRANSACTION = 1  # what a coordinator is for


def _text(value):
    return struct.pack(">h", len(value)) + value.encode()


def _call(address, api, version, body):
    """The answer without its head."""
    host, _, port = address.partition(":")
    message = struct.pack(">hhi", api, version, 1) + _text("test") + body
    with socket.create_connection((host, int(port)), 10) as broker:
        broker.sendall(struct.pack(">i", len(message)) + message)
        stream = broker.makefile("rb")
        return stream.read(struct.unpack(">i", stream.read(4))[0])[4:]


def delete_records(address, topic, partition, offset):
    """As retention does it: everything before `offset` goes.  `address` is the leader's."""
    body = struct.pack(">i", 1) + _text(topic) + struct.pack(">iiqi", 1, partition, offset, 10000)
    answer = _call(address, DELETE_RECORDS, 0, body)
    assert struct.unpack(">h", answer[-2:])[0] == 0, answer


def coordinator_port(address, transactional_id):
    """The port of the broker that decides on the transactions of this id."""
    answer = _call(address, FIND_COORDINATOR, 1, _text(transactional_id) + struct.pack(">b", TRANSACTION))
    error, message = struct.unpack_from(">hh", answer, 4)
    assert error == 0, answer
    at = 8 + max(message, 0) + 4
    host = struct.unpack_from(">h", answer, at)[0]
    return struct.unpack_from(">i", answer, at + 2 + host)[0]
