"""Bytes that are nearly an order, as many as Hypothesis can think of."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.orders import MODEL, document


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
