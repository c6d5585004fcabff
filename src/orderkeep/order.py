"""What an order is, and why a message is not one.

One msgspec model serves the broker, HTTP and the OpenAPI description. `decode` accepts exactly the
messages that can be stored, searched and served back byte for byte; whatever it refuses, PostgreSQL
never sees. Fields that the model does not name are allowed and stay, because the text itself is stored.
"""

import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from orderkeep.errors import Rejected

MAX_BYTES = 1_000_000
"""The longest message taken for an order; Kafka's own default limit for a record batch is 1,048,588 bytes."""
MAX_DEPTH = 64
"""The deepest nesting of arrays and objects. msgspec's own limit moves with the interpreter's stack."""
FIRST_DATE = datetime(1900, 1, 1, tzinfo=UTC)
LAST_DATE = datetime(2200, 1, 1, tzinfo=UTC)

UID_PATTERN = r"^(?!\.{1,2}$)[A-Za-z0-9._~:-]{1,128}(?!\n)$"
"""`.` and `..` mean something in a URL's path. Python's `$` also matches before a final newline. Its `\\Z`
does not, but whoever reads this in a JSON schema knows only the patterns of ECMAScript."""

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Uid = Annotated[str, Meta(pattern=UID_PATTERN, description="1 to 128 of A-Z a-z 0-9 . _ ~ : -")]
Indexed = Annotated[str, Meta(max_length=256)]
"""Text that an index may hold: a b-tree entry is limited to 2,704 bytes, so 256 characters always fit."""
Moment = Annotated[datetime, Meta(tz=True)]


class Delivery(Struct, frozen=True, gc=False):
    name: str
    phone: str
    zip: str
    city: str
    address: str
    region: str
    email: str


class Payment(Struct, frozen=True, gc=False):
    transaction: str
    request_id: str
    currency: str
    provider: str
    amount: Integer
    payment_dt: Integer
    bank: str
    delivery_cost: Integer
    goods_total: Integer
    custom_fee: Integer


class Item(Struct, frozen=True, gc=False):
    chrt_id: Integer
    track_number: str
    price: Integer
    rid: str
    name: str
    sale: Integer
    size: str
    total_price: Integer
    nm_id: Integer
    brand: str
    status: Integer


class Order(Struct, frozen=True, gc=False):
    order_uid: Uid
    track_number: Indexed
    entry: str
    delivery: Delivery
    payment: Payment
    items: list[Item]
    locale: str
    internal_signature: str
    customer_id: Indexed
    delivery_service: str
    shardkey: str
    sm_id: Integer
    date_created: Moment
    oof_shard: str


class _KnownDelivery(Delivery, frozen=True, gc=False, forbid_unknown_fields=True):
    pass


class _KnownPayment(Payment, frozen=True, gc=False, forbid_unknown_fields=True):
    pass


class _KnownItem(Item, frozen=True, gc=False, forbid_unknown_fields=True):
    pass


class _KnownOrder(Order, frozen=True, gc=False, forbid_unknown_fields=True):
    """An order of which every field is named in the model, as most are."""

    delivery: _KnownDelivery
    payment: _KnownPayment
    items: list[_KnownItem]  # type: ignore[assignment]  # a list may not vary by its items, but nobody writes to it


_decoder = msgspec.json.Decoder(Order)
_known_decoder = msgspec.json.Decoder(_KnownOrder)
_uid = re.compile(UID_PATTERN)
# In a valid JSON text a backslash only stands in a string, so reading escapes in order keeps their parity.
_escape = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
# A string that does not end runs to the end of the text: to try again behind its quotes would be quadratic.
_nesting = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


def is_uid(text: str) -> bool:
    """Whether `text` can be the uid of an order at all."""
    return _uid.match(text) is not None


def decode(payload: bytes | None) -> Order:
    """Read one message, `payload` being its exact bytes (None for a tombstone).

    Takes about 4 µs for a message of 1.2 kB, and three times as long when it has fields that the model does
    not name. Raises `Rejected`, and nothing else, whatever the bytes.
    """
    if payload is None:
        raise Rejected("tombstone", "the message has no value")
    if not payload:
        raise Rejected("empty", "the message is empty")
    if len(payload) > MAX_BYTES:
        raise Rejected("too_large", f"{len(payload):,} bytes; the limit is {MAX_BYTES:,}")
    try:
        # msgspec looks at every byte of the fields that it knows, so there is nothing to check before.
        order: Order = _known_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        order = _decode_with_unknown(payload)
    _check_escapes(payload)
    if not FIRST_DATE <= order.date_created < LAST_DATE:
        raise Rejected("invalid", "Expected a date between 1900 and 2200 - at `$.date_created`")
    return order


def _decode_with_unknown(payload: bytes) -> Order:
    """An order with fields that the model does not name; of anything else, the reason why it is none."""
    _check_text(payload)
    try:
        return _decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Rejected("invalid", str(error)) from None
    except msgspec.DecodeError as error:
        _check_escapes(payload)  # msgspec meets a lone surrogate as a syntax error; name it for what it is
        raise Rejected("not_json", str(error)) from None


def _check_text(payload: bytes) -> None:
    """Refuse what msgspec does not look at in unknown fields, or answers with an error of its own kind."""
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise Rejected("not_utf8", f"{error.reason} at byte {error.start}") from None
    # Fewer brackets than the limit cannot nest deeper than it: the exact count is for the rest.
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH:
        _check_depth(payload)


def _check_depth(payload: bytes) -> None:
    depth = 0
    for token in _nesting.finditer(payload):
        first = token[0][:1]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Rejected("too_deep", f"nested deeper than {MAX_DEPTH} at byte {token.start()}")
        elif first != b'"':
            depth -= 1


def _check_escapes(payload: bytes) -> None:
    """Refuse NUL and lone surrogates: PostgreSQL's json type stores them, then fails on every use."""
    if b"\\" not in payload:  # a single byte is looked for ten times as fast as several
        return
    if not (b"\\u0000" in payload or b"\\ud" in payload or b"\\uD" in payload):
        return
    high_ends_at = -1  # the byte after an unpaired high surrogate
    for escape in _escape.finditer(payload):
        code = int(escape[1], 16) if escape[1] else -1
        if high_ends_at >= 0 and not (0xDC00 <= code <= 0xDFFF and escape.start() == high_ends_at):
            raise Rejected("lone_surrogate", f"a high surrogate stands alone before byte {high_ends_at}")
        if code == 0:
            raise Rejected("nul", f"a NUL character at byte {escape.start()}")
        if 0xDC00 <= code <= 0xDFFF and high_ends_at < 0:
            raise Rejected("lone_surrogate", f"a low surrogate stands alone at byte {escape.start()}")
        high_ends_at = escape.end() if 0xD800 <= code <= 0xDBFF else -1
    if high_ends_at >= 0:
        raise Rejected("lone_surrogate", f"a high surrogate stands alone before byte {high_ends_at}")
