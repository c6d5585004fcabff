"""A reject as JSON: what the API answers, and what `orderkeep rejects` shows and exports.

Bytes are `text` where they are UTF-8, else `base64`: either gives back exactly what was sent.
"""

from base64 import b64encode

from msgspec import Struct

from orderkeep.reject_differences import Difference, differences
from orderkeep.storage.rejects import Reject, RejectSummary


class Content(Struct, frozen=True, omit_defaults=True):
    """Bytes as one of the two; the other is left out."""

    text: str | None = None
    base64: str | None = None


class Header(Struct, frozen=True):
    name: Content
    value: Content | None


class RejectDocument(RejectSummary, frozen=True):
    """A message that was kept aside, whole: its payload is `text` or `base64`, and both null for a tombstone.

    With a `discarded_at`, payload, `key` and `headers` are gone, and null or empty.
    `sha256` is the payload's. `stored_text` is the order that is stored under its uid, when there is one,
    and `differences` the first hundred fields in which it differs from this message.
    """

    incarnation: str
    key: Content | None
    headers: list[Header]
    sha256: str
    text: str | None
    base64: str | None
    stored_text: str | None
    differences: list[Difference]


def document(reject: Reject) -> RejectDocument:
    """The JSON form of a reject, for `msgspec.json.encode`."""
    payload = _content(reject.payload) if reject.payload is not None else Content()
    return RejectDocument(
        **{name: getattr(reject, name) for name in RejectSummary.__struct_fields__},
        incarnation=reject.incarnation,
        key=None if reject.key is None else _content(reject.key),
        headers=[_header(*pair) for pair in reject.headers],
        sha256=reject.sha256,
        text=payload.text,
        base64=payload.base64,
        stored_text=None if reject.stored is None else reject.stored.decode(),
        differences=differences(reject.stored, reject.payload) if reject.stored and reject.payload else [],
    )


def _header(name: bytes, value: bytes | None) -> Header:
    return Header(_content(name), None if value is None else _content(value))


def _content(value: bytes) -> Content:
    try:
        return Content(text=value.decode())
    except UnicodeDecodeError:
        return Content(base64=b64encode(value).decode())
