"""Which positions of a source are committed for certain while several batches are in flight.

Positions of a partition have holes (transactions and compaction leave them), so nothing here counts:
a batch knows its first position and the one after its last, and batches are compared by those.
"""

from collections.abc import Mapping
from typing import NamedTuple

from orderkeep.sources.source import Span
from orderkeep.storage.store import Position


class _Settled(NamedTuple):
    next: int
    epoch: int


class Watermark:
    """Of one source: the spans in flight, in the order of delivery, and what the database knows of them."""

    def __init__(self) -> None:
        self._in_flight: dict[int, list[Span]] = {}
        self._settled: dict[int, _Settled] = {}
        self._recorded: dict[int, int] = {}
        self._unrecorded: dict[int, Position] = {}

    def begin(self, spans: Mapping[int, Span]) -> None:
        """A batch is fetched; called in the order of delivery."""
        for partition, span in spans.items():
            self._in_flight.setdefault(partition, []).append(span)

    def safe(self, spans: Mapping[int, Span]) -> dict[int, int]:
        """By partition: everything below is committed once the batch of these spans is.

        That is the end of its own span when it is the oldest in flight, else the start of the oldest:
        nobody knows in which order the transactions of two batches will commit. What is settled counts too:
        where work is shared, a span may lie below it.
        """
        return {partition: self._safe(partition, span) for partition, span in spans.items()}

    def end(self, spans: Mapping[int, Span]) -> None:
        """The batch is committed."""
        for partition, span in spans.items():
            waiting = self._in_flight[partition]
            waiting.remove(span)
            if not waiting:
                del self._in_flight[partition]

    def record(self, positions: Mapping[int, int]) -> None:
        """The database knows these positions, by a committed transaction."""
        for partition, position in positions.items():
            self._recorded[partition] = max(self._recorded.get(partition, 0), position)

    def settle(self, spans: Mapping[int, Span]) -> None:
        """The batch and all before it are committed, and acknowledged."""
        for partition, span in spans.items():
            settled = max(span.next, self._settled_in(partition, span.epoch))
            self._settled[partition] = _Settled(settled, span.epoch)
            if self._recorded.get(partition, 0) < settled:
                self._unrecorded[partition] = Position(settled, span.end)
            else:
                self._unrecorded.pop(partition, None)

    def take_unrecorded(self) -> dict[int, Position]:
        """Positions that are settled and that the database does not know of yet, each once."""
        taken, self._unrecorded = self._unrecorded, {}
        return taken

    def _safe(self, partition: int, span: Span) -> int:
        oldest = self._in_flight[partition][0]
        safe = span.next if oldest is span else oldest.first
        return max(safe, self._settled_in(partition, span.epoch))

    def _settled_in(self, partition: int, epoch: int) -> int:
        """Of an earlier epoch nothing is known any more: the partition may have gone back since."""
        settled = self._settled.get(partition)
        return settled.next if settled and settled.epoch == epoch else 0
