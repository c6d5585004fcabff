"""What is an order, and what is not: every message is the one or is refused with its reason."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from orderkeep.order import MAX_BYTES, decode, is_uid
from tests.near_orders import FIELDS, parent
from tests.orders import MODEL, MODEL_POST, document, order, refused, with_unknown

OTHER_TYPES: dict[type, list[Any]] = {
    str: [1, 1.5, None, True, [], {}],
    int: ["1", 1.5, 1e400, None, True, [], {}, 2**63, -(2**63) - 1],
    dict: ["{}", 1, None, []],
    list: ["[]", 1, None, {}],
}


def dotted(path: tuple[str | int, ...]) -> str:
    """The path as a reason writes it."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


@pytest.mark.parametrize(
    ("payload", "uid"),
    [(MODEL, "b563feb7b2b84b6test"), (MODEL_POST, "b563feg7bdg3286ttjr67siej")],
    ids=["order.json", "order-post.json"],
)
def test_model_orders(payload: bytes, uid: str) -> None:
    """The model orders are accepted as they are."""
    found = decode(payload)
    assert found.order_uid == uid
    assert found.payment.amount == 1817
    assert found.items[0].brand == "Vivienne Sabo"
    assert found.date_created == datetime(2021, 11, 26, 6, 22, 19, tzinfo=UTC)


@pytest.mark.parametrize("path", FIELDS, ids=dotted)
def test_missing_field(path: tuple[str | int, ...]) -> None:
    """A field that is missing is named, with the object that lacks it."""
    without = document()
    del parent(without, path)[path[-1]]
    error = refused(json.dumps(without).encode())
    assert error.kind == "invalid"
    assert f"`{path[-1]}`" in error.reason
    assert len(path) == 1 or f"`{dotted(path[:-1])}`" in error.reason


@pytest.mark.parametrize("path", FIELDS, ids=dotted)
def test_wrong_type(path: tuple[str | int, ...]) -> None:
    """A field of another type, or a number beyond 64 bits, is refused with its path; nothing is converted."""
    right = parent(document(), path)[path[-1]]
    for value in OTHER_TYPES[type(right)]:
        wrong = document()
        parent(wrong, path)[path[-1]] = value
        error = refused(json.dumps(wrong).replace("Infinity", "1e400").encode())
        assert (error.kind, f"`{dotted(path)}`" in error.reason) == ("invalid", True), (value, error)


@pytest.mark.parametrize("extreme", [2**63 - 1, -(2**63), 0])
def test_integers_of_64_bits(extreme: int) -> None:
    """Every integer that PostgreSQL's bigint holds is accepted."""
    assert decode(order("a", sm_id=extreme)).sm_id == extreme


@pytest.mark.parametrize(
    "uid", ["a", "a" * 128, "A-Z.0_9~:", "...", ".a", "..a", "b563feb7b2b84b6test"], ids=lambda uid: uid[:9]
)
def test_uid(uid: str) -> None:
    """A uid is 1 to 128 letters, digits and marks that need no escaping in a URL."""
    assert is_uid(uid)
    assert decode(order(uid)).order_uid == uid


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "a" * 129, "a\n", "\na", "a b", "a/b", "ä", "a%20", "a\t", "🙂", "a\r\n", "?", "#"]
)
def test_not_a_uid(uid: str) -> None:
    """Other text is no uid, not even for a newline at its end."""
    assert not is_uid(uid)
    error = refused(order(uid))
    assert (error.kind, "`$.order_uid`" in error.reason) == ("invalid", True)


@pytest.mark.parametrize("field", ["track_number", "customer_id"])
def test_indexed_text(field: str) -> None:
    """Text that an index may hold has 256 characters at most, and other text has no limit of its own."""
    decode(order("a", **{field: "🙂" * 256}))
    assert f"`$.{field}`" in refused(order("a", **{field: "x" * 257})).reason
    decode(order("a", locale="x" * 100_000))


@pytest.mark.parametrize(
    "date",
    [
        "1900-01-01T00:00:00Z",
        "2199-12-31T23:59:59.999999Z",
        "2021-11-26T06:22:19+14:00",
        "2021-11-26t06:22:19z",
        "2021-11-26T06:22:19.123456-05:30",
    ],
)
def test_date(date: str) -> None:
    """A date of RFC 3339 between 1900 and 2200 is accepted, with any zone."""
    assert decode(order("a", date_created=date)).date_created.tzinfo is not None


@pytest.mark.parametrize(
    "date",
    [
        "2021-11-26T06:22:19",
        "1899-12-31T23:59:59Z",
        "1900-01-01T00:00:00+01:00",
        "2200-01-01T00:00:00Z",
        "2199-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2021-02-30T00:00:00Z",
        "yesterday",
        "",
        1637907727,
    ],
)
def test_not_a_date(date: str | int) -> None:
    """A date without a zone, out of range or not in the calendar is refused, never an overflow."""
    error = refused(order("a", date_created=date))
    assert (error.kind, "`$.date_created`" in error.reason) == ("invalid", True)


def test_nothing() -> None:
    """A tombstone and an empty message are refused, each under its own name."""
    assert refused(None).kind == "tombstone"
    assert refused(b"").kind == "empty"


def test_size() -> None:
    """An order of exactly the limit is accepted, and one byte more is too large."""
    padding = MAX_BYTES - len(MODEL)
    assert decode(MODEL + b" " * padding)
    assert refused(MODEL + b" " * (padding + 1)).kind == "too_large"


@pytest.mark.parametrize(
    "payload",
    [b"hello", b" ", b"{", MODEL[:-3], MODEL + b"}", MODEL + MODEL, b"\xef\xbb\xbf" + MODEL, MODEL + b"\0"],
    ids=["text", "blank", "open", "cut off", "closed twice", "two orders", "byte order mark", "NUL behind"],
)
def test_not_json(payload: bytes) -> None:
    """What is no JSON text, or more than one, is refused."""
    assert refused(payload).kind == "not_json"


@pytest.mark.parametrize("payload", [b"null", b"[]", b"1", b'"order"', b"{}", b"[" + MODEL + b"]"])
def test_json_but_no_order(payload: bytes) -> None:
    """JSON of another shape is refused as invalid."""
    assert refused(payload).kind == "invalid"


@pytest.mark.parametrize(
    "text",
    [
        *(b'"a\\qb"', b'"\x01"', b'"\n"', b"01", b"1.", b"-", b".5", b"1e", b"+1", b"NaN", b"Infinity"),
        *(b'{"a":1,}', b"[1,]", b'{"a" 1}', b"{1:2}", b'"\\x41"', b'"\\u12"', b"1 2", b"'a'", b"[1 2]"),
        *(b"truex", b"/**/1"),
    ],
)
def test_syntax_of_unknown_fields(text: bytes) -> None:
    """The syntax of what the model does not name is checked like the rest: PostgreSQL checks it too."""
    assert refused(with_unknown(text)).kind == "not_json"


def test_unknown_fields() -> None:
    """Fields that the model does not name are allowed everywhere, as are repeated ones and any number."""
    assert decode(with_unknown(b'{"a": [1e999999, -0.0, null, 12345678901234567890123456789]}'))
    assert decode(MODEL.replace(b'"locale"', b'"locale": "x", "locale"')).locale == "en"
    assert decode(MODEL.replace(b'"zip"', b'"floor": 3, "zip"'))
