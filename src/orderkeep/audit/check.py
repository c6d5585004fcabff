"""Which outcome a message has, told from its bytes and from the rows that are about it."""

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from orderkeep.errors import Rejected

from .broker import Record

Outcome = Literal["stored", "duplicate", "rejected", "conflict", "erased", "missing", "wrong"]


class Place(NamedTuple):
    """Where a message is, as a row says it; an order that did not come from a broker has no partition."""

    source: int | None
    partition: int | None
    position: int | None


class OrderRow(NamedTuple):
    payload: bytes
    place: Place


class RejectRow(NamedTuple):
    """`headers` are names and values in turn; a value may be None. `replays` are outcomes of its replays.

    When it is `discarded`, payload, key and headers are gone.
    """

    payload: bytes | None
    key: bytes | None
    headers: list[bytes | None]
    sha256: bytes
    kind: str
    discarded: bool
    replays: list[str]


class Verdict(NamedTuple):
    """`reason` is given with `missing` and `wrong`; `headers_unreadable`: they were not compared."""

    outcome: Outcome
    reason: str = ""
    headers_unreadable: bool = False


_STORED, _DUPLICATE, _ERASED = Verdict("stored"), Verdict("duplicate"), Verdict("erased")


def judge_order(record: Record, place: Place, row: OrderRow | None, rejects: Sequence[RejectRow]) -> Verdict:
    """The outcome of a valid order: `row` of orders has its uid, `rejects` have its `place`."""
    if rejects:
        return _judge_kept_aside(record, place, row, rejects)
    if row is None:
        return Verdict("missing", "no row of orders has its uid")
    if row.payload == record.payload:
        return _STORED if row.place == place else _DUPLICATE
    if row.place == place:
        return Verdict("wrong", "the order that was stored from it has other bytes")
    return Verdict("missing", "orders has other bytes under its uid, and no conflict is kept")


def judge_erased(record: Record, row: OrderRow | None, rejects: Sequence[RejectRow]) -> Verdict:
    """The outcome of a valid order that was erased on request: nothing of it may be left."""
    if row is not None:
        return Verdict("wrong", "it was erased, but orders has a row of its uid")
    if not rejects:
        return _ERASED
    differs, _ = _difference(record, rejects)
    if not rejects[0].discarded:
        differs = "it was erased, but the reject that was kept of it still has its content"
    return Verdict("wrong", differs) if differs else _ERASED


def _judge_kept_aside(
    record: Record, place: Place, row: OrderRow | None, rejects: Sequence[RejectRow]
) -> Verdict:
    """A valid order is kept aside for a conflict, because the database refused it, or until it was replayed.

    What the database refused may be stored from another message later: it stays `rejected`.
    """
    differs, unreadable = _difference(record, rejects)
    kind = rejects[0].kind
    if not differs and (outcome := _replayed(record, place, row, rejects[0].replays)):
        return Verdict(outcome, headers_unreadable=unreadable)
    if reason := differs or _contradiction(record, place, row, kind):
        return Verdict("wrong", reason)
    return Verdict("conflict" if kind == "conflict" else "rejected", headers_unreadable=unreadable)


def _replayed(
    record: Record, place: Place, row: OrderRow | None, replays: Sequence[str]
) -> Literal["stored", "duplicate", "conflict"] | None:
    """What a replay made of a reject, when one is noted and orders bears it out.

    A replay that was cut off is only noted as begun, and may have stored the order.
    """
    if row is None:
        return None
    if row.payload != record.payload:
        return "conflict" if "conflict" in replays else None
    if row.place == place:
        return "stored" if {"begun", "stored", "redelivered"}.intersection(replays) else None
    return "duplicate" if "duplicate" in replays else None


def _contradiction(record: Record, place: Place, row: OrderRow | None, kind: str) -> str:
    """Why a valid order should not have been kept aside as this kind; empty when it should."""
    if row is not None and row.place == place:
        return f"it is kept twice, in orders and as a reject of kind {kind}"
    if kind == "database":
        return ""
    if kind != "conflict":
        return f"it is a valid order, but kept as a reject of kind {kind}"
    if row is None:
        return "it is kept as a conflict, but no row of orders has its uid"
    if row.payload == record.payload:
        return "it is kept as a conflict, but orders has the same bytes under its uid"
    return ""


def judge_refused(record: Record, refusal: Rejected, rejects: Sequence[RejectRow]) -> Verdict:
    """The outcome of a message that is not an order; its kind of refusal may differ between versions."""
    if not rejects:
        return Verdict("missing", f"it is not an order ({refusal.kind}), and no reject is kept")
    differs, unreadable = _difference(record, rejects)
    if differs:
        return Verdict("wrong", differs)
    if rejects[0].kind == "conflict":
        return Verdict("wrong", f"it is not an order ({refusal.kind}), but kept as a conflict")
    return Verdict("rejected", headers_unreadable=unreadable)


def _difference(record: Record, rejects: Sequence[RejectRow]) -> tuple[str, bool]:
    """In what the one reject kept of a message differs from it, and whether its headers defied reading."""
    if len(rejects) > 1:
        return f"{len(rejects)} rejects are kept of it", False
    row = rejects[0]
    headers = row.headers if row.discarded else record.headers()
    different = {
        "payload": row.payload != record.payload and not row.discarded,
        "key": row.key != record.key and not row.discarded,
        "headers": headers is not None and row.headers != headers,
        "sha256": row.sha256 != hashlib.sha256(record.payload or b"").digest(),
    }
    names = ", ".join(name for name, differs in different.items() if differs)
    return (f"the reject kept of it has another {names}" if names else ""), headers is None
