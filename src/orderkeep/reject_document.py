"""A reject as JSON: what the API answers, and what `orderkeep rejects` shows and exports.

Bytes are `text` where they are UTF-8, else `base64`: either gives back exactly what was sent.
"""

from base64 import b64encode

from msgspec import UNSET, Struct, UnsetType

from orderkeep.storage.rejects import Reject, RejectSummary


class Content(Struct, frozen=True):
    """Bytes as one of the two."""

    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET


class Header(Struct, frozen=True):
    name: Content
    value: Content | None


class RejectDocument(RejectSummary, frozen=True):
    """A message that was kept aside, whole: its payload is `text` or `base64`, and both null for a tombstone.

    `sha256` is the payload's. `stored_text` is the order that is stored under its uid, when there is one.
    """

    incarnation: str
    key: Content | None
    headers: list[Header]
    sha256: str
    text: str | None
    base64: str | None
    stored_text: str | None


def document(reject: Reject) -> RejectDocument:
    """The JSON form of a reject, for `msgspec.json.encode`."""
    text, base64 = _text_or_base64(reject.payload)
    return RejectDocument(
        **{name: getattr(reject, name) for name in RejectSummary.__struct_fields__},
        incarnation=reject.incarnation,
        key=_content(reject.key),
        headers=[Header(_named(name), _content(value)) for name, value in reject.headers],
        sha256=reject.sha256,
        text=text,
        base64=base64,
        stored_text=None if reject.stored is None else reject.stored.decode(),
    )


def _content(value: bytes | None) -> Content | None:
    return None if value is None else _named(value)


def _named(value: bytes) -> Content:
    text, base64 = _text_or_base64(value)
    return Content(text=text) if text is not None else Content(base64=base64 or "")


def _text_or_base64(value: bytes | None) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    try:
        return value.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(value).decode()
