"""Rejects as text: exact where that is possible, and never a command to the terminal."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderkeep.reject_differences import MOST_DIFFERENCES, differences
from orderkeep.reject_document import Content, document
from orderkeep.reject_text import as_json, page, printable, table
from orderkeep.storage.rejects import Reject
from tests.near_orders import near_documents
from tests.orders import order

COMMANDS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
TURNS = "\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff"


def reject(payload: bytes | None = b"x", **changes: Any) -> Reject:
    given: dict[str, Any] = {
        "id": 7,
        "kind": "invalid",
        "reason": "because",
        "order_uid": None,
        "source": "kafka",
        "topic": "orders",
        "partition": 1,
        "position": 2,
        "size": None if payload is None else len(payload),
        "received_at": datetime(2026, 11, 21, 9, 0, 31, tzinfo=UTC),
        "replayed": None,
        "discarded_at": None,
        "incarnation": "one",
        "key": None,
        "headers": (),
        "payload": payload,
        "sha256": "00",
        "stored": None,
    }
    return Reject(**given | changes)


def shown(one: Reject, *, as_hex: bool = False) -> str:
    return "\n".join(page(one, as_hex=as_hex))


def payload_of(one: Reject, *, as_hex: bool = False) -> str:
    return shown(one, as_hex=as_hex).split("\n\n", 1)[1]


def undumped(text: str) -> bytes:
    """The bytes of a hex dump."""
    return b"".join(bytes.fromhex(line[10:58]) for line in text.splitlines())


def obeys(text: str) -> bool:
    """Whether a terminal would do more than write the text."""
    return any(command in text for command in [*COMMANDS, *TURNS])


def test_text() -> None:
    """A payload that is text is shown as it is."""
    for payload in (order("a"), "Заказ 注文 👩‍👩‍👧\n\ttwo".encode(), b"{not json", b"  "):
        assert payload_of(reject(payload)).encode() == payload


@given(st.binary(min_size=1, max_size=100))
def test_hex(payload: bytes) -> None:
    """A payload that is no text is shown in hex, and any when asked: not a byte of it is lost."""
    assert undumped(payload_of(reject(payload), as_hex=True)) == payload
    assert undumped(payload_of(reject(b"\xff" + payload))) == b"\xff" + payload


@given(st.text(), st.text(), st.binary(), st.text(alphabet=[*COMMANDS, *TURNS, "a", "Ж", "\ud800"]))
def test_no_command(reason: str, uid: str, payload: bytes, garbage: str) -> None:
    """Whatever a message holds, nothing of what is shown is a command to the terminal."""
    odd = garbage.encode(errors="surrogatepass")
    for holds in (payload, odd, garbage.encode(errors="ignore")):
        one = reject(
            holds,
            reason=reason + garbage,
            order_uid=uid + garbage,
            topic=garbage,
            key=odd,
            headers=((odd, holds), (holds, None)),
            stored=b"{" + garbage.encode(errors="ignore"),
        )
        assert not obeys(shown(one))
        assert not obeys(shown(one, as_hex=True))
        lines = list(table([one], None))
        assert len(lines) == 2
        assert not obeys("\n".join(lines))


def test_escapes_are_announced() -> None:
    """Where characters of a payload are written as escapes, it says so, and how to see the bytes."""
    told = payload_of(reject(b"a\x1b[31mb\rc"))
    assert told.startswith("a\\x1b[31mb\\rc\n")
    assert "--hex" in told


@given(st.binary(), st.binary(), st.lists(st.tuples(st.binary(), st.none() | st.binary())))
def test_json(payload: bytes, key: bytes, headers: list[tuple[bytes, bytes | None]]) -> None:
    """The JSON of a reject gives back every byte, and is safe to print."""
    text = as_json(document(reject(payload, key=key, headers=tuple(headers))))
    assert not obeys(text)
    found = json.loads(text)
    assert bytes_of(found) == payload
    assert bytes_of(found["key"]) == key
    assert [
        (bytes_of(one["name"]), None if one["value"] is None else bytes_of(one["value"]))
        for one in found["headers"]
    ] == headers


def bytes_of(content: dict[str, Any]) -> bytes:
    if content.get("text") is not None:
        return str(content["text"]).encode()
    return b64decode(content["base64"])


def test_tombstone() -> None:
    """A message without a value has neither text nor base64; an empty one has an empty text."""
    found = document(reject(None))
    assert (found.text, found.base64, found.size) == (None, None, None)
    assert "tombstone" in shown(reject(None))
    empty = document(reject(b""))
    assert (empty.text, empty.base64, empty.size) == ("", None, 0)
    assert msgspec.json.encode(Content(text="")) == b'{"text":""}'


def test_both_versions() -> None:
    """A conflict shows what is different between the stored order and this one, line by line."""
    changed = order("a", locale="other")
    told = shown(reject(changed, kind="conflict", order_uid="a", stored=order("a")))
    assert '-  "locale": "en",\n+  "locale": "other",' in told
    lines = told.partition("\n@@")[2].splitlines()[1:]
    for sign, whole in (("-", order("a")), ("+", changed)):
        text = "\n".join(line[1:] for line in lines if line[0] in (" ", sign))
        assert json.loads(text) == json.loads(whole)


def test_differences() -> None:
    """A conflict names each field that differs, with both values beside each other."""
    one = json.loads(order("a", more={"x": [1, 2]}, only="here"))
    one["payment"]["amount"] = 1
    one["items"][0]["name"] = "\u001b[31m"
    kept, here = json.dumps(one).encode().replace(b": 1,", b": 1.50,", 1), order("a", more={"x": [1, 3, 4]})
    conflict = reject(here, kind="conflict", order_uid="a", stored=kept)
    found = {each.path: (each.stored, each.rejected) for each in document(conflict).differences}
    assert found == {
        "$.payment.amount": ("1.50", "1817"),
        "$.items[0].name": ('"\\u001b[31m"', '"Mascaras"'),
        "$.more.x[1]": ("2", "3"),
        "$.more.x[2]": (None, "4"),
        "$.only": ('"here"', None),
    }
    told = shown(conflict)
    for path, (stored, rejected) in found.items():
        (line,) = [line for line in told.splitlines() if line.startswith(f"{path} ")]
        assert line.split()[1:] == [stored or "(none)", rejected or "(none)"]


@pytest.mark.parametrize(
    ("stored", "rejected"),
    [
        (b'{"a": 1, "b": "\xc3\xa9"}', b'{"b":"\\u00e9","a":1}'),
        (b"{}", b"garbage"),
        (b"{}", b"\xff"),
        (b"[" * 100_000, b"{}"),
        (b'{"a": 1, "a": 2}', b'{"a": 2}'),
    ],
)
def test_no_differences(stored: bytes, rejected: bytes) -> None:
    """Spaces, escapes and the order of fields are no differences, and what is no JSON has none."""
    assert document(reject(rejected, stored=stored[:10])).differences == []
    assert differences(stored, rejected) == []


@settings(max_examples=40, deadline=None)
@given(near_documents(), near_documents())
def test_differences_are_complete(stored: bytes, rejected: bytes) -> None:
    """Whatever the versions, they differ in no field only if they are the same document."""
    found = differences(stored, rejected)
    assert len(found) <= MOST_DIFFERENCES
    assert differences(stored, stored) == []
    assert msgspec.json.encode(found)
    if b"NaN" not in stored + rejected and b"Infinity" not in stored + rejected:
        assert found or json.loads(stored) == json.loads(rejected)


@pytest.mark.parametrize("as_hex", [False, True])
def test_other_spaces(*, as_hex: bool) -> None:
    """Versions that differ only in spaces are shown one after the other."""
    told = shown(reject(b'{"a": 1.50}', kind="conflict", stored=b'{"a":1.50}'), as_hex=as_hex)
    _, rejected, _, stored = told.split("\n\n")
    versions = [undumped(text) if as_hex else text.encode() for text in (rejected, stored)]
    assert versions == [b'{"a": 1.50}', b'{"a":1.50}']


def test_width() -> None:
    """A line of the list is cut to the terminal, and whole where there is none."""
    one = reject(reason="long " * 50)
    assert max(map(len, table([one], 80))) == 80
    assert ("long " * 50).strip() in "\n".join(table([one], None))


def test_discarded() -> None:
    """A reject whose content was discarded is not taken for a tombstone."""
    one = reject(None, discarded_at=datetime(2026, 12, 21, tzinfo=UTC))
    assert "2026-12-21" in shown(one)
    assert "tombstone" not in shown(one)
    assert "discarded" in "\n".join(table([one], None))


def test_printable() -> None:
    """What is visible stays, the rest is an escape."""
    assert printable("заказ a\x1b\n\u202e\ud800") == "заказ a\\x1b\\n\\u202e\\ud800"
