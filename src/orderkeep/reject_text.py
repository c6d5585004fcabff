"""Rejects as text for a terminal: whatever a message holds, no byte of it may command the terminal."""

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from orderkeep.reject_differences import MOST_DIFFERENCES, differences
from orderkeep.storage.rejects import Reject, RejectSummary

HEX_COLUMNS = 16
HEAD = ("id", "received", "kind", "place", "size", "replayed", "order uid", "reason")

_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters but the tab and the newline, and those that turn the direction of writing."""


def as_json(value: object) -> str:
    """One line of JSON; what a terminal would obey is escaped, which changes nothing for a program."""
    text = msgspec.json.encode(value).decode()
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def table(rejects: Sequence[RejectSummary], width: int | None) -> Iterator[str]:
    """A line for each, under a head; reasons are cut where a line is longer than `width`."""
    rows = [HEAD, *map(_row, rejects)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for *cells, reason in rows:
        line = "  ".join([*map(str.ljust, cells, widths), reason])
        yield line if width is None or len(line) <= width else line[: width - 1] + "…"


def page(reject: Reject, *, as_hex: bool) -> Iterator[str]:
    """Everything about one, by lines: its payload as text, or in hex where it is none or `as_hex`."""
    yield f"reject {reject.id}: {reject.kind}"
    for name, value in _facts(reject):
        yield f"{name:<10} {value}"
    if reject.payload is not None:
        yield ""
        yield from _payload(reject.payload, as_hex=as_hex)
    if reject.payload is not None and reject.stored not in (None, reject.payload):
        yield ""
        yield from _differences(reject.stored or b"", reject.payload)
        yield from _versions(reject, reject.stored or b"", as_hex=as_hex)


def printable(text: str) -> str:
    """The text in one line, with an escape for each character that is no visible one."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _row(reject: RejectSummary) -> tuple[str, ...]:
    return (
        str(reject.id),
        _moment(reject.received_at),
        reject.kind,
        f"{printable(reject.topic)}/{reject.partition}:{reject.position}",
        _size(reject),
        reject.replayed or "-",
        printable(reject.order_uid or "-"),
        printable(reject.reason),
    )


def _size(reject: RejectSummary) -> str:
    if reject.discarded_at is not None:
        return "discarded"
    return "-" if reject.size is None else f"{reject.size:,}"


def _facts(reject: Reject) -> Iterator[tuple[str, str]]:
    yield "reason", printable(reject.reason)
    if reject.order_uid is not None:
        yield "order uid", printable(reject.order_uid)
    place = f"{reject.source} topic {reject.topic}, partition {reject.partition}, position {reject.position}"
    yield "message", f"{printable(place)} (incarnation {printable(reject.incarnation)})"
    yield "received", f"{_moment(reject.received_at)} UTC"
    if reject.key is not None:
        yield "key", _brief(reject.key)
    for name, value in reject.headers:
        yield "header", f"{_brief(name)}: {'(null)' if value is None else _brief(value)}"
    if reject.discarded_at is not None:
        yield "payload", f"discarded with key and headers, {_moment(reject.discarded_at)} UTC"
    else:
        yield "payload", "none: a tombstone" if reject.size is None else f"{reject.size:,} bytes"
    yield "sha256", reject.sha256
    if reject.replayed is not None:
        yield "replayed", reject.replayed


def _payload(payload: bytes, *, as_hex: bool) -> Iterator[str]:
    text = None if as_hex else _text(payload)
    if text is None:
        yield from _hex_dump(payload)
        return
    safe = _UNSAFE.sub(lambda found: _escaped(found[0]), text)
    yield from safe.split("\n")
    if safe != text:
        yield ""
        yield "Control characters are written as escapes here; --hex shows the bytes."


def _differences(stored: bytes, payload: bytes) -> Iterator[str]:
    """The fields that differ, both values of each side by side."""
    found = differences(stored, payload)
    if not found:
        return
    rows = [("differs at", "stored", "rejected")]
    rows += [(each.path, each.stored or "(none)", each.rejected or "(none)") for each in found]
    safe = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    for row in safe:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    if len(found) == MOST_DIFFERENCES:
        yield f"These are the first {MOST_DIFFERENCES} differences."
    yield ""


def _versions(reject: Reject, stored: bytes, *, as_hex: bool) -> Iterator[str]:
    """What is stored under the uid beside what was kept aside, each in full."""
    before, after = _laid_out(stored), _laid_out(reject.payload or b"")
    if as_hex or before == after:
        yield f"the order that is stored under its uid{'' if as_hex else ', the same but for spaces'}:"
        yield ""
        yield from _payload(stored, as_hex=as_hex)
        return
    names = (f"stored as {printable(reject.order_uid or '')}", f"reject {reject.id}")
    yield from difflib.unified_diff(before, after, *names, n=max(len(before), len(after)), lineterm="")


def _laid_out(payload: bytes) -> list[str]:
    """The lines of the JSON, indented; numbers and strings stay as they are written."""
    with suppress(msgspec.DecodeError):
        payload = msgspec.json.format(payload, indent=2)
    text = payload.decode(errors="backslashreplace")
    return _UNSAFE.sub(lambda found: _escaped(found[0]), text).split("\n")


def _hex_dump(payload: bytes) -> Iterator[str]:
    for start in range(0, len(payload), HEX_COLUMNS):
        row = payload[start : start + HEX_COLUMNS]
        seen = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{start:08x}  {row.hex(' '):<{HEX_COLUMNS * 3}} {seen}"


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _brief(value: bytes) -> str:
    return printable(value.decode(errors="backslashreplace"))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
