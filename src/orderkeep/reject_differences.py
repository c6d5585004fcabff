"""What two versions of an order differ in, field by field."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from msgspec import Struct

MOST_DIFFERENCES = 100
_WIDTH = 200


class Difference(Struct, frozen=True):
    """A field that the versions do not share: `path` as in reasons, such as `$.items[0].price`.

    `stored` and `rejected` are the JSON of its values, cut after 200 characters; None where it has none.
    """

    path: str
    stored: str | None
    rejected: str | None


class _Number(str):
    """A number as it is written: 1.50 is not 1.5, and 1e999 is no infinity."""

    __slots__ = ()


class _Absent:
    """The value of a field that a version does not have."""


_ABSENT = _Absent()


def differences(stored: bytes, rejected: bytes) -> list[Difference]:
    """The first 100 differences, in the order of the stored version; empty where either is no JSON.

    Spaces, escapes and the order of fields are none; of a repeated field only the last counts.
    """
    try:
        pair = _read(stored), _read(rejected)
    except (ValueError, RecursionError):
        return []
    return list(islice(_compare("$", *pair), MOST_DIFFERENCES))


def _read(text: bytes) -> Any:
    return json.loads(text.decode(), parse_int=_Number, parse_float=_Number, parse_constant=_no_json)


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _compare(path: str, stored: Any, rejected: Any) -> Iterator[Difference]:
    if isinstance(stored, dict) and isinstance(rejected, dict):
        yield from _compare_fields(path, stored, rejected)
    elif isinstance(stored, list) and isinstance(rejected, list):
        for number in range(max(len(stored), len(rejected))):
            pair = (each[number] if number < len(each) else _ABSENT for each in (stored, rejected))
            yield from _compare(f"{path}[{number}]", *pair)
    elif type(stored) is not type(rejected) or stored != rejected:
        yield Difference(_clean(path), _written(stored), _written(rejected))


def _compare_fields(
    path: str, stored: Mapping[str, Any], rejected: Mapping[str, Any]
) -> Iterator[Difference]:
    for name in {**stored, **rejected}:
        yield from _compare(f"{path}.{name}", stored.get(name, _ABSENT), rejected.get(name, _ABSENT))


def _written(value: Any) -> str | None:
    if isinstance(value, _Absent):
        return None
    text = _clean(value if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _clean(text: str) -> str:
    """Text that JSON can hold: lone surrogates as escapes."""
    return text.encode(errors="backslashreplace").decode()
