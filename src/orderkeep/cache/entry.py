"""What a cache holds: the answer to GET of an order, ready to be written behind status line and date."""

import hashlib

from orderkeep.storage.store import StoredOrder

_HEAD = b"cache-control: private, no-cache\r\nvary: authorization\r\nx-content-type-options: nosniff\r\n"
_HIT, _MISS = b"x-orderkeep-cache: hit\r\n", b"x-orderkeep-cache: miss\r\n"
_REST = _HIT + b"content-type: application/json\r\n"
_END = b"\r\n\r\n"
_ETAG = b'etag: "'


def render(order: StoredOrder) -> bytes:
    """The headers and the body of the answer to GET; the status line and `date` are the server's to say."""
    etag = hashlib.blake2b(order.payload, digest_size=12).hexdigest()
    return b'%betag: "%b"\r\n%bcontent-length: %d\r\n\r\n%b' % (
        _HEAD,
        etag.encode(),
        _REST,
        len(order.payload),
        order.payload,
    )


def missed(entry: bytes) -> bytes:
    """The same, saying that it was not in the cache."""
    return entry.replace(_HIT, _MISS, 1)


def body(entry: bytes) -> bytes:
    """The order, byte for byte as it was sent."""
    return entry[entry.index(_END) + len(_END) :]


def etag(entry: bytes) -> str:
    """The strong entity tag, with its quotes."""
    start = entry.index(_ETAG) + len(_ETAG) - 1
    return entry[start : entry.index(b"\r", start)].decode()
