"""What a cache holds: the answer to GET of an order, ready to be written behind status line and date."""

import hashlib
from typing import Literal

from orderkeep.storage.store import StoredOrder

_HEAD = b"cache-control: private, no-cache\r\nvary: authorization\r\nx-content-type-options: nosniff\r\n"
_HIT = b"x-orderkeep-cache: hit\r\n"
_REST = _HIT + b"content-type: application/json\r\n"
_END = b"\r\n\r\n"
_ETAG = b'etag: "'

Via = Literal["hit", "redis", "miss"]
"""Where an order came from, as the answer says it: the memory of the process, Redis, the database."""
_SAID: dict[Via, bytes] = {"redis": b"x-orderkeep-cache: redis\r\n", "miss": b"x-orderkeep-cache: miss\r\n"}


def render(order: StoredOrder) -> bytes:
    """The headers and the body of the answer to GET; the status line and `date` are the server's to say."""
    return render_payload(order.payload)


def render_payload(payload: bytes) -> bytes:
    """The same, of the text of an order: nothing else of it is in the answer."""
    etag = hashlib.blake2b(payload, digest_size=12).hexdigest()
    return b'%betag: "%b"\r\n%bcontent-length: %d\r\n\r\n%b' % (
        _HEAD,
        etag.encode(),
        _REST,
        len(payload),
        payload,
    )


def saying(entry: bytes, via: Via) -> bytes:
    """The same answer, saying where it came from; as it is kept it says `hit`."""
    return entry if via == "hit" else entry.replace(_HIT, _SAID[via], 1)


def body(entry: bytes) -> bytes:
    """The order, byte for byte as it was sent."""
    return entry[entry.index(_END) + len(_END) :]


def etag(entry: bytes) -> str:
    """The strong entity tag, with its quotes."""
    start = entry.index(_ETAG) + len(_ETAG) - 1
    return entry[start : entry.index(b"\r", start)].decode()
