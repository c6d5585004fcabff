"""What a cache holds: the whole HTTP response of an order, ready to be written to a connection."""

import hashlib

from orderkeep.storage.store import StoredOrder

_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: application/json\r\n"
    b"cache-control: private, no-cache\r\n"
    b"vary: authorization\r\n"
    b"x-content-type-options: nosniff\r\n"
    b"x-orderkeep-cache: hit\r\n"
)
_END = b"\r\n\r\n"
_ETAG = b'etag: "'


def render(order: StoredOrder) -> bytes:
    """The response to GET, without `date`, which a server adds: it changes by the second."""
    etag = hashlib.blake2b(order.payload, digest_size=12).hexdigest()
    return b'%betag: "%b"\r\ncontent-length: %d\r\n\r\n%b' % (
        _HEAD,
        etag.encode(),
        len(order.payload),
        order.payload,
    )


def body(entry: bytes) -> bytes:
    """The order, byte for byte as it was sent."""
    return entry[entry.index(_END) + len(_END) :]


def etag(entry: bytes) -> str:
    """The strong entity tag, with its quotes."""
    start = entry.index(_ETAG) + len(_ETAG) - 1
    return entry[start : entry.index(b"\r", start)].decode()
