"""Which partitions are ours, since when, and what of them is handed out and acknowledged.

Shared by the consumer's thread and the event loop; every method is short and takes the one lock.
"""

import threading
from collections.abc import Collection, Mapping
from itertools import count

from orderkeep.sources.source import Span


def starting_offset(committed: int, known: int | None, low: int) -> int:
    """Where a partition is read from: the smaller of the broker's and the database's position.

    `committed` is the group's offset, negative when it has none; `known` the database's position, None
    when the database has none: then nothing is proved to be stored, and the beginning, `low`, it is.
    """
    if known is None:
        return low
    return min(committed, known) if committed >= 0 else known


class Assignment:
    """The partitions of one consumer, each with the epoch that its batches carry."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._epochs = count(1)
        self._held: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._handed_out: dict[int, int] = {}  # by epoch, how many batches are not acknowledged yet
        self._acknowledged: dict[int, int] = {}
        self._done: dict[int, int] = {}  # where a partition began, or the position after what is acknowledged

    def assign(self, positions: Mapping[int, int]) -> None:
        with self._changed:
            for partition, position in positions.items():
                self._held[partition] = next(self._epochs)
                self._positions[partition] = self._done[partition] = position

    def revoke(self, partitions: Collection[int]) -> None:
        with self._changed:
            for partition in partitions:
                self._forget(partition)

    def forget_all(self) -> None:
        self.revoke(list(self._held))

    def holds(self, partition: int | None) -> bool:
        return partition in self._held

    def epoch(self, partition: int) -> int:
        return self._held[partition]

    def next_position(self, partition: int) -> int:
        """The position after the last one handed out: what is read next."""
        return self._positions[partition]

    def hand_out(self, spans: Mapping[int, Span]) -> None:
        with self._changed:
            for partition, span in spans.items():
                if self._held.get(partition) != span.epoch:
                    continue  # it was revoked between the fetch and this: nobody will acknowledge it
                self._handed_out[span.epoch] = self._handed_out.get(span.epoch, 0) + 1
                self._positions[partition] = span.next

    def acknowledge(self, spans: Mapping[int, Span]) -> None:
        with self._changed:
            for partition, span in spans.items():
                if self._held.get(partition) == span.epoch:
                    self._handed_out[span.epoch] -= 1
                    self._acknowledged[partition] = self._done[partition] = span.next
            self._changed.notify_all()

    def unacknowledged(self) -> dict[int, int]:
        """Of each partition that is ours, the first position that is not acknowledged."""
        with self._changed:
            return dict(self._done)

    def take_acknowledged(self) -> dict[int, int]:
        """The offsets to commit, each once."""
        with self._changed:
            taken, self._acknowledged = self._acknowledged, {}
            return taken

    def acknowledge_again(self, partition: int, offset: int) -> None:
        """The offset was not committed: it is taken once more, unless a later one is waiting already."""
        with self._changed:
            if partition in self._held:
                self._acknowledged[partition] = max(offset, self._acknowledged.get(partition, 0))

    def wait_until_settled(self, seconds: float) -> bool:
        """Block until everything handed out is acknowledged; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(self._handed_out.values()), seconds)

    def _forget(self, partition: int) -> None:
        epoch = self._held.pop(partition, 0)
        self._handed_out.pop(epoch, None)
        self._acknowledged.pop(partition, None)
        self._positions.pop(partition, None)
        self._done.pop(partition, None)
