"""When a batch closes: by size, or by a linger that is short when little comes and longer when much does."""

from collections.abc import Iterator, Sequence

from orderkeep.sources.source import MAX_BYTES
from orderkeep.storage.store import Message

LONGEST_LINGER = 0.02
_BUSY = 256  # messages in a batch from which on the longest linger is worth its wait


class Linger:
    """How many seconds to go on collecting, judged by how much the batch before held.

    A slow stream waits for nothing. When the backlog is long, a batch is full before any linger ends.
    """

    def __init__(self) -> None:
        self._last = 0

    @property
    def seconds(self) -> float:
        return LONGEST_LINGER * min(1.0, self._last / _BUSY) if self._last > 1 else 0.0

    def note(self, messages: int) -> None:
        self._last = messages


def split_by_bytes(messages: Sequence[Message], limit: int = MAX_BYTES) -> Iterator[Sequence[Message]]:
    """Cut so that no part holds more than `limit` bytes of payload, or one message that is larger."""
    start, size = 0, 0
    for index, message in enumerate(messages):
        length = len(message.payload or b"")
        if size + length > limit and index > start:
            yield messages[start:index]
            start, size = index, 0
        size += length
    if start < len(messages):
        yield messages[start:]
