"""The messages of NATS Streaming (STAN) on the wire: protobuf, as stan.go's pb/protocol.proto has them.

Text that a sender may choose, such as the reply subject of a message, is not decoded: STAN takes it as it is,
and it need not be UTF-8.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from orderkeep.errors import BrokerUnavailable

PROTOCOL = 1
"""Of the client: it sends pings with its connection id."""
_VARINT, _LENGTH = 0, 2
"""The wire types that STAN uses; numbers of fixed length (1 and 5) it has none."""
_STARTS = {"last": 1, "sequence": 3, "first": 4}

Start = int | Literal["first", "last"]
"""Where a new subscription begins: at a sequence, at the first message there is, or at the last."""
Value = int | str | bytes


class Connected(NamedTuple):
    """The answer to a connect request: the subjects to send to, or why the server refuses."""

    publish: str
    subscribe: str
    unsubscribe: str
    close_subscription: str
    close: str
    ping: str
    error: str


class StanMessage(NamedTuple):
    """A message of a channel; `timestamp` is the server's, in nanoseconds since 1970."""

    sequence: int
    data: bytes
    timestamp: int


class Subscribed(NamedTuple):
    """The answer to a request about a subscription."""

    ack_inbox: str
    error: str


class Published(NamedTuple):
    """The acknowledgement of a message that was published."""

    guid: str
    error: str


def connect_request(
    client_id: str, heartbeat_inbox: str, connection_id: bytes, *, ping_seconds: int, pings_out: int
) -> bytes:
    return encode(
        {
            1: client_id,
            2: heartbeat_inbox,
            3: PROTOCOL,
            4: connection_id,
            5: ping_seconds,
            6: pings_out,
        }
    )


def read_connected(data: bytes) -> Connected:
    fields = decode(data)
    return Connected(
        publish=_text(fields, 1),
        subscribe=_text(fields, 2),
        unsubscribe=_text(fields, 3),
        close=_text(fields, 4),
        error=_text(fields, 5),
        close_subscription=_text(fields, 6),
        ping=_text(fields, 7),
    )


def subscription_request(
    client_id: str,
    channel: str,
    inbox: str,
    start: Start,
    *,
    max_in_flight: int,
    ack_wait: int,
    durable: str = "",
    queue: str = "",
) -> bytes:
    """`ack_wait` in seconds. Where a durable begins that is there already is up to the server alone."""
    fields: dict[int, Value] = {
        1: client_id,
        2: channel,
        3: queue,
        4: inbox,
        5: max_in_flight,
        6: ack_wait,
        7: durable,
        10: _STARTS[start] if isinstance(start, str) else _STARTS["sequence"],
    }
    if isinstance(start, int):
        fields[11] = start
    return encode(fields)


def read_subscribed(data: bytes) -> Subscribed:
    fields = decode(data)
    return Subscribed(_text(fields, 2), _text(fields, 3))


def end_subscription_request(client_id: str, channel: str, ack_inbox: str, durable: str) -> bytes:
    """Closes a subscription or unsubscribes it, whichever subject it is sent to."""
    return encode({1: client_id, 2: channel, 3: ack_inbox, 4: durable})


def close_request(client_id: str) -> bytes:
    return encode({1: client_id})


def ping(connection_id: bytes) -> bytes:
    return encode({1: connection_id})


def read_refusal(data: bytes) -> str:
    """Why a ping or a request to close is refused; empty when it is not."""
    return _text(decode(data), 1)


def read_message(data: bytes) -> StanMessage:
    fields = decode(data)
    return StanMessage(_number(fields, 1), _bytes(fields, 4), _number(fields, 5))


def acknowledgement(channel: str, sequence: int) -> bytes:
    return encode({1: channel, 2: sequence})


def publication(client_id: str, guid: str, channel: str, payload: bytes, connection_id: bytes) -> bytes:
    return encode({1: client_id, 2: guid, 3: channel, 5: payload, 6: connection_id})


def read_published(data: bytes) -> Published:
    fields = decode(data)
    return Published(_text(fields, 1), _text(fields, 2))


def encode(fields: Mapping[int, Value]) -> bytes:
    """By field number; what is empty or 0 is left out, as in proto3."""
    return b"".join(_encode(fields.items()))


def _encode(fields: Iterable[tuple[int, Value]]) -> Iterable[bytes]:
    for number, value in fields:
        if not value:
            continue
        if isinstance(value, int):
            yield _varint(number << 3 | _VARINT) + _varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            yield _varint(number << 3 | _LENGTH) + _varint(len(content))
            yield content


def decode(data: bytes) -> dict[int, int | bytes]:
    """The fields by their number; of a repeated one the last. Raises `BrokerUnavailable` for what is none."""
    fields: dict[int, int | bytes] = {}
    at = 0
    try:
        while at < len(data):
            key, at = _read_varint(data, at)
            value, at = _read_varint(data, at)
            if key & 7 == _VARINT:
                fields[key >> 3] = value
            elif key & 7 == _LENGTH and at + value <= len(data):
                fields[key >> 3] = data[at : at + value]
                at += value
            else:
                raise _unreadable(data)
    except IndexError:
        raise _unreadable(data) from None
    return fields


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    number = data[at]
    at += 1
    if number < 0x80:
        return number, at
    number &= 0x7F
    shift = 7
    while (part := data[at]) > 0x7F:
        number |= (part & 0x7F) << shift
        shift += 7
        at += 1
    return number | part << shift, at + 1


def _unreadable(data: bytes) -> BrokerUnavailable:
    return BrokerUnavailable(f"what NATS Streaming sent cannot be read: {data[:40]!r}")


def _number(fields: Mapping[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    return value if isinstance(value, int) else 0


def _bytes(fields: Mapping[int, int | bytes], number: int) -> bytes:
    value = fields.get(number, b"")
    return value if isinstance(value, bytes) else b""


def _text(fields: Mapping[int, int | bytes], number: int) -> str:
    return _bytes(fields, number).decode(errors="replace")
