"""Which outcome a message has, told from its bytes and from the rows that are about it."""

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from confluent_kafka import Message

from orderkeep.errors import Rejected

Outcome = Literal["stored", "duplicate", "rejected", "conflict", "missing", "wrong"]


class Place(NamedTuple):
    """Where a message is, as rows write it down. A row of `orders` that did not come from a broker has Nones."""

    source: int | None
    partition: int | None
    position: int | None


class OrderRow(NamedTuple):
    payload: bytes
    place: Place


class RejectRow(NamedTuple):
    """`headers` alternate names and values; a value may be None."""

    payload: bytes | None
    key: bytes | None
    headers: list[bytes | None]
    sha256: bytes
    kind: str


class Verdict(NamedTuple):
    """`reason` is given when the outcome is `missing` or `wrong`; `headers_unreadable` says what is unproved."""

    outcome: Outcome
    reason: str = ""
    headers_unreadable: bool = False


_STORED, _DUPLICATE = Verdict("stored"), Verdict("duplicate")


def judge_order(
    message: Message, place: Place, row: OrderRow | None, rejects: Sequence[RejectRow]
) -> Verdict:
    """The outcome of a valid order: `row` is what orders has under its uid, `rejects` what is kept at `place`."""
    if rejects:
        return _judge_kept_aside(message, place, row, rejects)
    if row is None:
        return Verdict("missing", "no row of orders has its uid")
    if row.payload == message.value():
        return _STORED if row.place == place else _DUPLICATE
    if row.place == place:
        return Verdict("wrong", "the order that was stored from it has other bytes")
    return Verdict("missing", "orders has other bytes under its uid, and no conflict is kept")


def _judge_kept_aside(
    message: Message, place: Place, row: OrderRow | None, rejects: Sequence[RejectRow]
) -> Verdict:
    """A valid order among the rejects is a conflict, or the database refused it. A repeat may be stored later."""
    differs, unreadable = _difference(message, rejects)
    kind = rejects[0].kind
    if differs:
        return Verdict("wrong", differs)
    if row is not None and row.place == place:
        return Verdict("wrong", f"it is kept twice, in orders and as a reject of kind {kind}")
    if kind == "database":
        return Verdict("rejected", headers_unreadable=unreadable)
    if kind != "conflict":
        return Verdict("wrong", f"it is a valid order, but kept as a reject of kind {kind}")
    if row is None:
        return Verdict("wrong", "it is kept as a conflict, but no row of orders has its uid")
    if row.payload == message.value():
        return Verdict("wrong", "it is kept as a conflict, but orders has the same bytes under its uid")
    return Verdict("conflict", headers_unreadable=unreadable)


def judge_refused(message: Message, refusal: Rejected, rejects: Sequence[RejectRow]) -> Verdict:
    """The outcome of a message that is not an order."""
    if not rejects:
        return Verdict("missing", f"it is not an order ({refusal.kind}), and no reject is kept")
    differs, unreadable = _difference(message, rejects)
    if differs:
        return Verdict("wrong", differs)
    if rejects[0].kind == "conflict":
        return Verdict("wrong", f"it is not an order ({refusal.kind}), but kept as a conflict")
    return Verdict("rejected", headers_unreadable=unreadable)


def _difference(message: Message, rejects: Sequence[RejectRow]) -> tuple[str, bool]:
    """In what the one reject kept of a message differs from it, and whether its headers defied reading."""
    if len(rejects) > 1:
        return f"{len(rejects)} rejects are kept of it", False
    row, payload = rejects[0], message.value()
    headers = _headers(message)
    different = {
        "payload": row.payload != payload,
        "key": row.key != message.key(),
        "headers": headers is not None and row.headers != headers,
        "sha256": row.sha256 != hashlib.sha256(payload or b"").digest(),
    }
    names = ", ".join(name for name, differs in different.items() if differs)
    return (f"the reject kept of it has another {names}" if names else ""), headers is None


def _headers(message: Message) -> list[bytes | None] | None:
    """The headers as rows hold them; None when a name is not UTF-8.

    confluent-kafka 2.16 raises SystemError then, and what a second call returns must not be touched: the
    name in it is a null pointer.
    """
    try:
        pairs = message.headers() or []
    except (SystemError, UnicodeDecodeError):
        return None
    flat: list[bytes | None] = []
    for name, value in pairs:
        flat += (name.encode(), value.encode() if isinstance(value, str) else value)
    return flat
