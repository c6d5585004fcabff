"""Server-sent events as a client reads them."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple


class Told(NamedTuple):
    """An event as a client understands it."""

    id: str
    name: str
    data: dict[str, Any]


def events(lines: Iterator[bytes]) -> Iterator[Told]:
    """The events of a stream (WHATWG HTML, 9.2.6), as far as they are whole."""
    fields: dict[str, str] = {}
    for line in lines:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            data = json.loads(fields["data"]) if "data" in fields else {}
            yield Told(fields.get("id", ""), fields.get("event", ""), data)
            fields = {}
