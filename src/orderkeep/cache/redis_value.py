"""What Redis holds of an order: a hash, and the text of the order. Nothing else of the answer is in it.

Headers may change with a version of this program, the text of an order never does. The hash is of uid and
text, so that whatever else is found at a key is noticed: a part of a value, another order's, anything.
"""

import hashlib

FORMAT = "1"
"""Part of every key: versions of this program with another format do not see each other's values."""
LONGEST = 65_536
"""Bytes of an order that is kept; a batch of larger ones would not come within its deadline."""
_HASH_BYTES = 16


def pack(uid: str, payload: bytes) -> bytes:
    return _hash(uid, payload) + payload


def unpack(uid: str, value: object) -> bytes | None:
    """The text of the order, or None when this is not what `pack` made of this uid."""
    if not isinstance(value, bytes):
        return None
    payload = value[_HASH_BYTES:]
    return payload if value[:_HASH_BYTES] == _hash(uid, payload) else None


def _hash(uid: str, payload: bytes) -> bytes:
    # No uid has a zero byte, so two pairs never run together to the same bytes.
    return hashlib.blake2b(b"%b\0%b" % (uid.encode(), payload), digest_size=_HASH_BYTES).digest()
