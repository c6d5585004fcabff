"""Messages that are nearly orders, as many as Hypothesis can think of."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orderkeep.errors import Rejected
from orderkeep.order import decode
from tests.orders import MODEL, document, with_unknown
from tests.unit.test_order import FIELDS, parent

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
    except Rejected:
        return
    value = json.loads(payload.decode(), parse_int=str, parse_constant=pytest.fail)
    assert value["order_uid"] == found.order_uid
    strings = "".join(texts(value)).encode()  # fails on a lone surrogate
    assert b"\0" not in strings


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, the names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value:
            yield from texts(inner)
        if isinstance(value, dict):
            yield from texts(list(value.values()))
