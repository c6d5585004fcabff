"""Every named way in which a message can fail to be a new order.

Each kind is a function that breaks one good order. What becomes of it is in the table `BREAKAGES`.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import msgspec

from orderkeep.order import MAX_BYTES, MAX_DEPTH
from orderkeep.publish.draw import Draw
from orderkeep.publish.message import GeneratedMessage, Outcome

BrokenKind = Literal[
    "not_json",
    "cut_off",
    "wrong_type",
    "missing_field",
    "invalid_utf8",
    "nul_escape",
    "lone_surrogate",
    "number_out_of_range",
    "date_out_of_range",
    "long_field",
    "deep_nesting",
    "huge",
    "empty",
    "tombstone",
    "bad_uid",
    "repeat",
    "conflict",
]

EXTREME_DEPTH: Final = 100_000
MARK: Final = "MARK"
"""Stands in an order's text until bytes that no encoder would write take its place."""

Path = tuple[str | int, ...]

TEXT_FIELDS: Final[tuple[Path, ...]] = (
    ("track_number",),
    ("customer_id",),
    ("locale",),
    ("delivery", "name"),
    ("delivery", "address"),
    ("payment", "bank"),
    ("items", 0, "name"),
    ("unknown",),
    ("payment", "unknown"),
    ("items", 0, "unknown"),
)
INTEGER_FIELDS: Final[tuple[Path, ...]] = (
    ("sm_id",),
    ("payment", "amount"),
    ("payment", "payment_dt"),
    ("items", 0, "chrt_id"),
    ("items", 0, "price"),
)
REQUIRED_FIELDS: Final[tuple[Path, ...]] = (
    *(path for path in (*TEXT_FIELDS, *INTEGER_FIELDS) if path[-1] != "unknown"),
    ("order_uid",),
    ("date_created",),
    ("delivery",),
    ("payment",),
    ("items",),
    ("oof_shard",),
)

WRONG_VALUES: Final[tuple[tuple[Path, Any], ...]] = (
    (("order_uid",), 42),
    (("track_number",), None),
    (("delivery",), []),
    (("delivery", "name"), {"first": "Test"}),
    (("payment",), "paid"),
    (("payment", "amount"), "1817"),
    (("payment", "goods_total"), 317.5),
    (("payment", "custom_fee"), False),
    (("items",), {}),
    (("items",), [None]),
    (("items", 0, "sale"), None),
    (("items", 0, "size"), 0),
    (("date_created",), 1637907739),
    (("sm_id",), True),
)
NOT_JSON: Final = (
    b"hello",
    b"<order><uid>1</uid></order>",
    b"{'order_uid': 'single quotes'}",
    b"order_uid=1&track_number=2",
    b"\x08\x96\x01\x12\x04test",
    b'\xef\xbb\xbf{"order_uid": "behind a byte order mark"}',
    b"{,}",
    b"NaN",
    b" \n\t",
    b"null",
    b"[]",
    b"{}",
    b"17",
    b'"an order"',
)
"""The last few are JSON, but no object with anything in it."""
INVALID_UTF8: Final = (b"\xff", b"\xc3(", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")
NUL_ESCAPES: Final = (b"\\u0000", b"before\\u0000after", b"\\\\\\u0000")
LONE_SURROGATES: Final = (b"\\ud800", b"\\uDFFF", b"\\udc00\\ud800", b"\\ud83d text", b"\\ud83d\\\\ude00")
NUMBERS: Final = (b"9223372036854775808", b"-9223372036854775809", b"1" + b"0" * 400, b"1e400", b"1e999999")
DATES: Final = (
    "1899-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "2200-01-01T00:00:01Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-12:00",
    "10000-01-01T00:00:00Z",
    "2021-02-30T06:22:19Z",
    "2021-11-26T25:22:19Z",
    "2021-11-26T06:22:19",
    "26.11.2021",
    "",
)
UIDS: Final = (
    "",
    ".",
    "..",
    "a/b",
    "../etc/passwd",
    "with space",
    "заказ-1",
    "a%2Fb",
    "<b>",
    "a\x7f",
    "a?b=c",
)
LONG_FIELDS: Final = (
    ("order_uid", 129),
    ("track_number", 257),
    ("customer_id", 257),
    ("customer_id", 100_000),
)


def not_json(draw: Draw, order: bytes) -> bytes:
    """Something else entirely, or two orders in one message."""
    choice = draw.below(len(NOT_JSON) + 1)
    return order + order if choice == len(NOT_JSON) else NOT_JSON[choice]


def cut_off(draw: Draw, order: bytes) -> bytes:
    return order[: 1 + draw.below(len(order) - 1)]


def wrong_type(draw: Draw, order: bytes) -> bytes:
    path, value = draw.pick(WRONG_VALUES)
    return _with(order, path, value)


def missing_field(draw: Draw, order: bytes) -> bytes:
    document = msgspec.json.decode(order)
    *way, name = draw.pick(REQUIRED_FIELDS)
    del _at(document, way)[name]
    return msgspec.json.encode(document)


def invalid_utf8(draw: Draw, order: bytes) -> bytes:
    return _with_bytes(order, draw.pick(TEXT_FIELDS), draw.pick(INVALID_UTF8))


def nul_escape(draw: Draw, order: bytes) -> bytes:
    return _with_escape(draw, order, draw.pick(NUL_ESCAPES))


def lone_surrogate(draw: Draw, order: bytes) -> bytes:
    return _with_escape(draw, order, draw.pick(LONE_SURROGATES))


def number_out_of_range(draw: Draw, order: bytes) -> bytes:
    marked = _with(order, draw.pick(INTEGER_FIELDS), MARK)
    return marked.replace(f'"{MARK}"'.encode(), draw.pick(NUMBERS))


def date_out_of_range(draw: Draw, order: bytes) -> bytes:
    return _with(order, ("date_created",), draw.pick(DATES))


def long_field(draw: Draw, order: bytes) -> bytes:
    name, length = draw.pick(LONG_FIELDS)
    return _with(order, (name,), "x" * length)


def deep_nesting(draw: Draw, order: bytes) -> bytes:
    """Otherwise an order: the depth is in a field that no one asked for."""
    depth = draw.pick((MAX_DEPTH + 1, 1_000, EXTREME_DEPTH))
    opening, closing = draw.pick(((b"[", b"]"), (b'{"a":', b"}")))
    nested = opening * depth + b"0" + closing * depth
    return _with(order, ("unknown",), msgspec.Raw(nested))


def huge(draw: Draw, order: bytes) -> bytes:
    """Otherwise an order: just over the limit, and still within what Kafka takes by default."""
    padding = MAX_BYTES + 1 + draw.below(1_000) - len(_with(order, ("unknown",), ""))
    return _with(order, ("unknown",), "x" * padding)


def empty(_draw: Draw, _order: bytes) -> bytes:
    return b""


def tombstone(_draw: Draw, _order: bytes) -> None:
    return None


def bad_uid(draw: Draw, order: bytes) -> bytes:
    """Ids that a URL, a log line or a pattern with `$` would stumble over."""
    choice = draw.below(len(UIDS) + 1)
    uid = f"{msgspec.json.decode(order)['order_uid']}\n" if choice == len(UIDS) else UIDS[choice]
    return _with(order, ("order_uid",), uid)


def repeat(_draw: Draw, order: bytes) -> bytes:
    return order


def conflict(draw: Draw, order: bytes) -> bytes:
    """Another amount, or the same content in other bytes: the text counts."""
    if draw.below(4) == 0:
        return order + b"\n"
    amount = msgspec.json.decode(order)["payment"]["amount"]
    return _with(order, ("payment", "amount"), amount + 1)


class Breakage(NamedTuple):
    """`spoil` takes the text of an order: of one already sent, unless `expected` is "rejected"."""

    expected: Outcome
    spoil: Callable[[Draw, bytes], bytes | None]


BREAKAGES: Final[dict[BrokenKind, Breakage]] = {
    "not_json": Breakage("rejected", not_json),
    "cut_off": Breakage("rejected", cut_off),
    "wrong_type": Breakage("rejected", wrong_type),
    "missing_field": Breakage("rejected", missing_field),
    "invalid_utf8": Breakage("rejected", invalid_utf8),
    "nul_escape": Breakage("rejected", nul_escape),
    "lone_surrogate": Breakage("rejected", lone_surrogate),
    "number_out_of_range": Breakage("rejected", number_out_of_range),
    "date_out_of_range": Breakage("rejected", date_out_of_range),
    "long_field": Breakage("rejected", long_field),
    "deep_nesting": Breakage("rejected", deep_nesting),
    "huge": Breakage("rejected", huge),
    "empty": Breakage("rejected", empty),
    "tombstone": Breakage("rejected", tombstone),
    "bad_uid": Breakage("rejected", bad_uid),
    "repeat": Breakage("duplicate", repeat),
    "conflict": Breakage("conflict", conflict),
}


def broken(kind: BrokenKind, draw: Draw, order: GeneratedMessage) -> GeneratedMessage:
    """What `kind` makes of `order`; to be expected rejected, `order` itself must not be sent."""
    if order.payload is None:
        raise ValueError("a tombstone cannot be broken further")
    expected, spoil = BREAKAGES[kind]
    uid = None if expected == "rejected" else order.uid
    return GeneratedMessage(order.key, spoil(draw, order.payload), kind, uid, expected)


def _at(document: Any, way: list[str | int]) -> Any:
    for step in way:
        document = document[step]
    return document


def _with(order: bytes, path: Path, value: Any) -> bytes:
    document = msgspec.json.decode(order)
    *way, name = path
    _at(document, way)[name] = value
    return msgspec.json.encode(document)


def _with_bytes(order: bytes, path: Path, text: bytes) -> bytes:
    """The order with the bytes `text` inside the string at `path`."""
    return _with(order, path, MARK).replace(MARK.encode(), text)


def _with_escape(draw: Draw, order: bytes, text: bytes) -> bytes:
    """`text` inside a string: of a field, or of a key or value deep inside a field that no one asked for."""
    choice = draw.below(len(TEXT_FIELDS) + 2)
    if choice < len(TEXT_FIELDS):
        return _with_bytes(order, TEXT_FIELDS[choice], text)
    deep: dict[str, Any] = {"a": [0, {"b": {MARK: 1} if choice == len(TEXT_FIELDS) else [MARK]}]}
    return _with(order, ("unknown",), deep).replace(MARK.encode(), text)
