"""What a publisher is given: the bytes to send, and what the service has to make of them."""

from typing import Literal

from msgspec import Struct

Outcome = Literal["stored", "duplicate", "rejected", "conflict"]
"""The four outcomes a message of the topic can have."""


class GeneratedMessage(Struct, frozen=True, gc=False):
    """One message to send.

    `key` decides the partition: messages about the same uid have the same key, hence an order among them.
    `payload` is None for a tombstone. `kind` is "order", the name of what is broken, or "given" for text
    that a person gave. `uid` is the order's id, None where the message is not an order. `expected` is the
    outcome on a topic and a database that held nothing of this seed before, None where that is unknown.
    """

    key: bytes | None
    payload: bytes | None
    kind: str
    uid: str | None
    expected: Outcome | None
