"""Which positions are committed for certain while several batches are in flight.

Positions of a partition have holes (transactions and compaction leave them), so nothing here counts:
a batch knows its first position and the one after its last, and batches are compared by those.
"""

from collections.abc import Mapping

from orderkeep.sources.source import Span


class Watermark:
    """The spans in flight of every partition, in the order of delivery."""

    def __init__(self) -> None:
        self._in_flight: dict[int, list[Span]] = {}

    def begin(self, spans: Mapping[int, Span]) -> None:
        for partition, span in spans.items():
            self._in_flight.setdefault(partition, []).append(span)

    def safe(self, spans: Mapping[int, Span]) -> dict[int, int]:
        """By partition: everything below is committed once the batch of these spans is.

        That is the end of its own span when it is the oldest in flight, else the start of the oldest:
        nobody knows in which order the transactions of two batches will commit.
        """
        return {partition: self._safe(partition, span) for partition, span in spans.items()}

    def end(self, spans: Mapping[int, Span]) -> None:
        for partition, span in spans.items():
            waiting = self._in_flight[partition]
            waiting.remove(span)
            if not waiting:
                del self._in_flight[partition]

    def _safe(self, partition: int, span: Span) -> int:
        oldest = self._in_flight[partition][0]
        return span.next if oldest is span else oldest.first
