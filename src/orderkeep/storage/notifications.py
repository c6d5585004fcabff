"""How new orders and rejects are told to whoever follows: channels, and texts that PostgreSQL takes."""

from collections.abc import Iterable

ORDERS_CHANNEL = "orderkeep_orders"
REJECTS_CHANNEL = "orderkeep_rejects"
ERASED_CHANNEL = "orderkeep_erased"
NOTIFICATION_BYTES = 7_900
"""PostgreSQL takes notifications of less than 8,000 bytes."""


def joined(words: Iterable[str]) -> list[str]:
    """Words of ASCII joined by spaces, as few texts as fit into notifications."""
    texts: list[str] = []
    current: list[str] = []
    size = 0
    for word in words:
        size += len(word) + 1
        if size > NOTIFICATION_BYTES:
            texts.append(" ".join(current))
            current, size = [], len(word) + 1
        current.append(word)
    if current:
        texts.append(" ".join(current))
    return texts
