"""Of what is no order, every wrong field is named, and nothing that is right."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orderkeep.api.examples import ORDER
from orderkeep.api.wrong_fields import MOST_FIELDS, wrong_fields
from orderkeep.errors import Rejected
from orderkeep.order import decode
from tests.near_orders import near_documents, near_orders
from tests.orders import MODEL_POST, document, refused

PLACES: dict[str, list[Any]] = {
    "$.order_uid": ["", "a b", ".", "..", "a\n", "u" * 129, None, 5],
    "$.track_number": ["t" * 257, 1, [], None],
    "$.customer_id": ["ж" * 257, {}],
    "$.sm_id": ["1", 1.0, True, 2**63, -(2**63) - 1, 10**400, None],
    "$.date_created": [
        *("2021-11-26", "2021-11-26T06:22:19", "yesterday", "1899-12-31T23:59:59Z", "2200-01-01T00:00:00Z"),
        1637907739,
    ],
    "$.delivery": [None, [], "x"],
    "$.delivery.city": [1, None],
    "$.payment.amount": ["1817", 18.5],
    "$.items": [{}, None],
    "$.items[0]": [None, 1, []],
    "$.items[0].price": ["453", 1e3],
}


def placed(model: dict[str, Any], path: str, value: Any) -> None:
    """Put the value where the path leads."""
    *way, last = [
        int(step) if step.isdigit() else step
        for step in path[2:].replace("]", "").replace("[", ".").split(".")
    ]
    place: Any = model
    for step in way:
        place = place[step]
    place[last] = value


def named(payload: bytes) -> list[str]:
    fields = wrong_fields(payload, refused(payload))
    assert all(field.reason for field in fields)
    return [field.path for field in fields]


@pytest.mark.parametrize("path", PLACES)
def test_one(path: str) -> None:
    """A field with a value that it cannot have is named, alone."""
    for value in PLACES[path]:
        model = document()
        placed(model, path, value)
        assert named(json.dumps(model).encode()) == [path], value


def test_all_at_once() -> None:
    """However many fields are wrong, all are named, those that are missing as well, each once."""
    model = document()
    paths = [path for path in PLACES if path not in ("$.delivery", "$.items", "$.items[0]")]
    for path in paths:
        placed(model, path, PLACES[path][0])
    del model["locale"], model["payment"]["bank"], model["items"][0]["rid"]
    expected = [*paths, "$.locale", "$.payment.bank", "$.items[0].rid"]
    assert sorted(named(json.dumps(model).encode())) == sorted(expected)


def test_nothing_right() -> None:
    """Of an empty object every field is missing; of what is no object, the whole is wrong."""
    assert named(b"{}") == [f"$.{name}" for name in ORDER]
    assert [named(text) for text in (b"[]", b"1", b'"x"', b"null")] == [["$"]] * 4


def test_many() -> None:
    """No more are named than a person reads."""
    model = document(items=[{}] * 1_000)
    assert len(named(json.dumps(model).encode())) == MOST_FIELDS


def test_what_decoding_alone_sees() -> None:
    """A field that is wrong and then repeated, or before what is no JSON, is the one that decoding names."""
    assert named(b'{"order_uid": 5, "order_uid": "a", x') == ["$.order_uid"]
    repeated = json.dumps(document()).replace('"sm_id": 99', '"sm_id": "x", "sm_id": 99')
    assert named(repeated.encode()) == ["$.sm_id"]


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 99, b'{"a": "\\u0000"'])
def test_no_field_at_fault(payload: bytes) -> None:
    """Where the text itself is at fault there is no field to name."""
    assert named(payload) == []


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(near_orders() | near_documents())
def test_whatever_is_refused(payload: bytes) -> None:
    """Whatever decoding refuses for a field has a field that is named."""
    try:
        decode(payload)
    except Rejected as error:
        refusal = error
    else:
        return
    fields = wrong_fields(payload, refusal)
    assert bool(fields) is (refusal.kind == "invalid")
    assert len({field.path for field in fields}) == len(fields)


@given(st.sampled_from(sorted(ORDER)))
def test_example(name: str) -> None:
    """The order that the description shows is one, and would not be without any of its fields."""
    assert json.loads(MODEL_POST) == ORDER
    decode(json.dumps(ORDER).encode())
    assert named(json.dumps({key: value for key, value in ORDER.items() if key != name}).encode()) == [
        f"$.{name}"
    ]
