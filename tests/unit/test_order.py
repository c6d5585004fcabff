"""What is an order, and what is not: every message is the one or is refused with its reason."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orderkeep.errors import Rejected
from orderkeep.order import MAX_BYTES, MAX_DEPTH, Order, decode, is_uid
from tests.orders import MODEL, MODEL_POST, document, order

OTHER_TYPES: dict[type, list[Any]] = {
    str: [1, 1.5, None, True, [], {}],
    int: ["1", 1.5, 1e400, None, True, [], {}, 2**63, -(2**63) - 1],
    dict: ["{}", 1, None, []],
    list: ["[]", 1, None, {}],
}


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every field of the model order, those of the delivery, the payment and the item included."""
    fields = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in fields:
        if not isinstance(value, list):
            yield (*path, name)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*path, name))


FIELDS = list(paths(document()))


def parent(of: dict[str, Any], path: tuple[str | int, ...]) -> Any:
    for step in path[:-1]:
        of = of[step]  # type: ignore[index]  # a list is indexed by number
    return of


def dotted(path: tuple[str | int, ...]) -> str:
    """The path as msgspec writes it: it does not number the items of a list."""
    return "$" + "".join("[...]" if isinstance(step, int) else f".{step}" for step in path)


def refused(payload: bytes | None) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decode(payload)
    return caught.value


def with_unknown(value: bytes) -> bytes:
    """The model order with a field that the model does not name; `value` is its JSON text."""
    return MODEL.replace(b'"oof_shard"', b'"unknown": ' + value + b', "oof_shard"')


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
    [b'"a\\qb"', b'"\x01"', b'"\n"', b"01", b"1.", b"-", b".5", b"1e", b"+1", b"NaN", b"Infinity", b"truex"]
    + [
        b'{"a":1,}',
        b"[1,]",
        b'{"a" 1}',
        b"{1:2}",
        b'"\\x41"',
        b'"\\u12"',
        b"1 2",
        b"'a'",
        b"[1 2]",
        b"/**/1",
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


UTF8 = {
    "cut off": b"\xc3",
    "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond": b"\xf4\x90\x80\x80",
    "lone tail": b"\x80",
    "latin-1": b"\xe9",
}


@pytest.mark.parametrize("garbage", UTF8.values(), ids=UTF8)
def test_invalid_utf8(garbage: bytes) -> None:
    """Bytes that are not UTF-8 are refused in known fields, in unknown ones and in names."""
    for payload in (
        MODEL.replace(b"Kiryat", b"Kir" + garbage),
        with_unknown(b'"' + garbage + b'"'),
        with_unknown(b'{"' + garbage + b'": 1}'),
    ):
        error = refused(payload)
        assert (error.kind, "byte" in error.reason) == ("not_utf8", True)


def test_letters_of_all_alphabets() -> None:
    """Text beyond ASCII is accepted as itself and as escapes, pairs of surrogates included."""
    assert decode(order("a", locale="Ж 漢 🙂 \u2028 \ufffe")).locale == "Ж 漢 🙂 \u2028 \ufffe"
    assert decode(json.dumps(document(locale="Ж 漢 🙂")).encode()).locale == "Ж 漢 🙂"


PLACES = {
    "known": lambda text: MODEL.replace(b'"meest"', b'"' + text + b'"'),
    "unknown": lambda text: with_unknown(b'"' + text + b'"'),
    "name": lambda text: with_unknown(b'{"' + text + b'": 1}'),
    "deep": lambda text: with_unknown(b'[[{"a": ["' + text + b'"]}]]'),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (rb"\u0000", "nul"),
        (rb"a\u0000b", "nul"),
        (rb"\\\u0000", "nul"),
        (rb"\\\\\u0000", "nul"),
        (rb"\ud83d", "lone_surrogate"),
        (rb"\uD83D", "lone_surrogate"),
        (rb"\ude42", "lone_surrogate"),
        (rb"\uDE42\uD83D", "lone_surrogate"),
        (rb"\ud83d\ud83d\ude42", "lone_surrogate"),
        (rb"\ud83d\ude42\ude42", "lone_surrogate"),
        (rb"\ud83d \ude42", "lone_surrogate"),
        (rb"\ud83d\\ude42", "lone_surrogate"),
        (rb"\ud83d\u0041", "lone_surrogate"),
        (rb"\ud83d\u0000", "lone_surrogate"),
    ],
)
def test_text_that_postgresql_cannot_use(place: Any, text: bytes, kind: str) -> None:
    """NUL and surrogates without their other half are refused, wherever they stand."""
    assert refused(place(text)).kind == kind


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    "text",
    [
        rb"\\u0000",
        rb"\\\\u0000",
        rb"\\ud83d",
        rb"\ud83d\ude42",
        rb"\uD83D\uDE42",
        rb"\"\\\\ud83d",
        rb"\\\"\\ude42",
    ],
)
def test_text_that_only_looks_so(place: Any, text: bytes) -> None:
    """A backslash that is itself escaped begins nothing, and a pair of surrogates is one character."""
    assert isinstance(decode(place(text)), Order)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth(opening: bytes) -> None:
    """The deepest nesting allowed is accepted, one more is refused, and a million are no danger."""
    closing = b"]" if opening == b"[" else b"}"

    def nested(depth: int) -> bytes:
        return with_unknown(opening * depth + b"1" + closing * depth)

    assert decode(nested(MAX_DEPTH - 1))  # the order itself is one
    assert refused(nested(MAX_DEPTH)).kind == "too_deep"
    assert refused(opening * (MAX_BYTES // len(opening))).kind == "too_deep"


def test_brackets_that_do_not_nest() -> None:
    """Brackets in strings, and many beside each other, are no depth."""
    assert decode(with_unknown(b'"' + b"[{" * 1_000 + b'"'))
    assert decode(with_unknown(b'"\\"' + b"[" * 1_000 + b'"'))
    assert decode(with_unknown(b"[" + b",".join([b"[]"] * 1_000) + b"]"))
    assert decode(with_unknown(b"[" + b",".join([b'"]"'] * 1_000) + b"]"))


@pytest.mark.parametrize(
    "filling", [rb"\"", rb"\\", b'"', b'",', b"\\", rb"\u0041", rb"\ud83d\ude42"], ids=repr
)
def test_work_grows_with_the_length(filling: bytes) -> None:
    """A million bytes chosen against the search for nesting are answered; squared work would take hours."""
    brackets = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    for start in (b"", b'{"a":"', brackets[:65], b"[]" * 65, b"[]" * 65 + b'"'):
        payload = start + filling * ((MAX_BYTES - len(start)) // len(filling))
        assert isinstance(refused(payload), Rejected)


TOKENS = [b'"', b"\\", b"\\u0000", b"\\ud800", b"\\udc00", b"\\\\", b"{", b"}", b"[", b"]", b",", b":"]
TOKENS += [b"null", b"1e999", b"-0", b"\xff", b"\xc3\xa9", b"\0", b" ", b"\n", b"1", b"NaN", b'"a":1,']


@st.composite
def near_orders(draw: st.DrawFn) -> bytes:
    """The model order with a few pieces of its bytes replaced, doubled or left out."""
    payload = MODEL
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(payload)))
        length = draw(st.sampled_from([0, 0, 1, 2, 5, 50]))
        piece = draw(
            st.sampled_from(TOKENS) | st.binary(max_size=4) | st.just(payload[start : start + length] * 2)
        )
        payload = payload[:start] + piece + payload[start + length :]
    return payload


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def near_documents(draw: st.DrawFn) -> bytes:
    """The model order with values of other types, in known fields and in new ones."""
    changed = document()
    for path in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        try:
            parent(changed, path)[path[-1]] = draw(json_values)
        except (TypeError, KeyError, IndexError):
            continue  # a change before this one took the field away
    changed[draw(st.text())] = draw(json_values)
    return json.dumps(changed, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")


@settings(max_examples=1_500, deadline=None)
@given(near_orders() | near_documents() | st.binary())
@example(with_unknown(b'"\\u0000'))
@example(MODEL[:-1] + b"\\")
def test_near_orders(payload: bytes) -> None:
    """Whatever the bytes, they are an order or refused; and an order is JSON that PostgreSQL can use."""
    try:
        found = decode(payload)
    except Rejected as error:
        assert error.reason
        return
    value = json.loads(payload.decode(), parse_int=str, parse_constant=pytest.fail)
    assert value["order_uid"] == found.order_uid
    assert "\0" not in (strings := "".join(texts(value)))
    strings.encode()  # fails on a lone surrogate


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, the names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value:
            yield from texts(inner)
        if isinstance(value, dict):
            yield from texts(list(value.values()))
