"""Text that can be kept and used: UTF-8, escapes, nesting, and messages made to be slow."""

import json
from typing import Any

import pytest

from orderkeep.order import MAX_BYTES, MAX_DEPTH, Order, decode
from tests.orders import MODEL, document, order, refused, with_unknown

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
        assert refused(payload).reason
