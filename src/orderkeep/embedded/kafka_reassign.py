"""The one request that librdkafka lacks: AlterPartitionReassignments, in which order replicas are preferred.

Encoded by hand, version 0 of it (Kafka protocol guide, API key 45; flexible, so strings and arrays are
preceded by their length plus one as a varint, and every structure ends with its count of tagged fields).
"""

import socket
import struct
from collections.abc import Mapping, Sequence

from orderkeep.errors import ServerUnavailable

_API_KEY, _VERSION, _CORRELATION = 45, 0, 1
_NO_TAGS = b"\x00"
_TIMEOUT = 10.0
"""Seconds for the answer. The brokers pass the request on to the controller."""


def reassign(host: str, port: int, topic: str, replicas: Mapping[int, Sequence[int]]) -> None:
    """Ask for the nodes in `replicas` to hold each partition, the preferred leader first. Blocks.

    The same nodes in another order are in place when this returns, others some time later.
    `ServerUnavailable` when the broker cannot be reached or refuses.
    """
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT) as connection:
            connection.sendall(_framed(_request(topic, replicas)))
            answer = _read_frame(connection)
    except OSError as error:
        raise ServerUnavailable(f"Apache Kafka on port {port}: {error}") from error
    _correlation, _tags, _throttled, refusal = struct.unpack_from(">ibih", answer)
    if refusal:
        raise ServerUnavailable(f"Apache Kafka refuses to reassign {topic}: error {refusal}")


def _request(topic: str, replicas: Mapping[int, Sequence[int]]) -> bytes:
    header = struct.pack(">hhih", _API_KEY, _VERSION, _CORRELATION, -1) + _NO_TAGS  # -1: no client id
    partitions = [
        struct.pack(">i", number) + _array([struct.pack(">i", node) for node in nodes]) + _NO_TAGS
        for number, nodes in replicas.items()
    ]
    name = topic.encode()
    topics = _array([_varint(len(name) + 1) + name + _array(partitions) + _NO_TAGS])
    return header + struct.pack(">i", int(_TIMEOUT * 1_000)) + topics + _NO_TAGS


def _array(items: Sequence[bytes]) -> bytes:
    return _varint(len(items) + 1) + b"".join(items)


def _varint(number: int) -> bytes:
    """Unsigned, seven bits a byte, the lowest first; the eighth bit says that more follow."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _framed(message: bytes) -> bytes:
    return struct.pack(">i", len(message)) + message


def _read_frame(connection: socket.socket) -> bytes:
    (length,) = struct.unpack(">i", _read(connection, 4))
    return _read(connection, length)


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed the connection without an answer")
        data += piece
    return data
