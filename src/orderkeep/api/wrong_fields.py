"""Every field for which a document is no order: decoding stops at the first, and a person wants them all."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from orderkeep.errors import Rejected
from orderkeep.order import FIRST_DATE, LAST_DATE, Moment, Order

MOST_FIELDS = 100
_FIRST = re.compile(r"(?P<reason>.*?)(?: - at `(?P<path>.+)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_LONGEST_INTEGER = 25  # characters; Python refuses to read some thousands of digits


class WrongField(Struct, frozen=True):
    """`path` is that of the field, such as `$.items[0].price`; `reason` is for people."""

    path: str
    reason: str


def wrong_fields(payload: bytes, refusal: Rejected) -> list[WrongField]:
    """The first hundred fields that are wrong; `refusal` is the one that decoding has met.

    Takes up to 0.4 s for a megabyte of items. It is empty when no field is at fault, but the text itself.
    """
    if refusal.kind != "invalid":
        return []
    try:
        document = json.loads(payload, parse_int=_integer)
    except ValueError:  # decoding met the wrong field before the place where it is no JSON
        return [_first(refusal)]
    found = dict(islice(_faults(document), MOST_FIELDS))
    first = _first(refusal)
    if len(found) < MOST_FIELDS:
        found.setdefault(first.path, first.reason)
    return [WrongField(path, reason) for path, reason in found.items()]


def _first(refusal: Rejected) -> WrongField:
    found = _FIRST.fullmatch(refusal.reason)
    reason, path = (found["reason"], found["path"] or "$") if found else (refusal.reason, "$")
    if missing := _MISSING.fullmatch(reason):
        return WrongField(f"{path}.{missing[1]}", "is missing")
    return WrongField(path, reason)


def _faults(document: Any) -> Iterator[tuple[str, str]]:
    """Path and reason of each fault, as the schema of an order finds them."""
    for error in _validator().iter_errors(document):
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        yield "$" + "".join(steps), _reason(error)


def _reason(error: Any) -> str:
    limit = error.validator_value
    match error.validator:
        case "required":
            return "is missing"
        case "type":
            return f"has to be of the type {limit}"
        case "maxLength":
            return f"has more than {limit} characters"
        case "minimum" | "maximum":
            return "does not fit into 64 bits"
        case "pattern":
            return f"has to be {error.schema['description']}"
        case "format":
            return f"has to be a date and time with a zone, from {FIRST_DATE.year} to before {LAST_DATE.year}"
        case _:
            return str(error.message)[:200]


@lru_cache(1)
def _validator() -> Any:
    # Imported when somebody sends what is no order: it takes a tenth of a second, and has no types.
    from jsonschema import (
        Draft202012Validator,
        FormatChecker,
        ValidationError,
        validators,
    )

    def required(_validator: Any, names: list[str], value: Any, _schema: Any) -> Iterator[Any]:
        """Like the library's own, and the path is that of the missing field."""
        if isinstance(value, dict):
            yield from (ValidationError("", path=[name]) for name in names if name not in value)

    formats = FormatChecker(formats=())
    formats.checks("date-time", raises=ValueError)(_is_moment)
    # A number such as 1.0 is an integer of JSON Schema, and none of an order.
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    checker = validators.extend(Draft202012Validator, {"required": required}, type_checker=types)
    return checker(msgspec.json.schema(Order), format_checker=formats)


def _is_moment(value: object) -> bool:
    if not isinstance(value, str):
        return True  # that it is no text is said by its type
    moment = msgspec.convert(value, Moment)  # msgspec's ValidationError is a ValueError
    return FIRST_DATE <= moment < LAST_DATE


def _integer(digits: str) -> int:
    """The number; of one that is far too long, one that is too large in the same way."""
    return int(digits[:_LONGEST_INTEGER])
