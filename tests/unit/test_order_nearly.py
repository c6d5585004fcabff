"""Messages that are nearly orders, as many as Hypothesis can think of."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orderkeep.errors import Rejected
from orderkeep.order import decode
from tests.near_orders import near_documents, near_orders
from tests.orders import MODEL, with_unknown


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
