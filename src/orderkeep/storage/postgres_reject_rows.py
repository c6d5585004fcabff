"""What is kept aside as rows of rejected_messages."""

import hashlib
from typing import Any

from orderkeep.storage.store import Accepted, Message, Refused

REASON_CHARACTERS = 1_000


def conflict(accepted: Accepted) -> Refused:
    """An order whose uid is taken by another one."""
    uid = accepted.order_uid
    return Refused(accepted.message, "conflict", f"another order is stored under the uid {uid}", uid)


def reject_row(reject: Refused, source: int) -> tuple[Any, ...]:
    message = reject.message
    return (
        source,
        message.partition,
        message.position,
        message.key,
        [part for header in message.headers for part in header],
        message.payload,
        digest(message),
        reject.kind,
        _clean(reject.reason),
        reject.order_uid,
    )


def digest(message: Message) -> bytes:
    return hashlib.sha256(message.payload or b"").digest()


def _clean(reason: str) -> str:
    """Text that PostgreSQL takes, whatever garbage the reason quotes."""
    return reason[:REASON_CHARACTERS].encode(errors="backslashreplace").decode().replace("\0", "\\0")
