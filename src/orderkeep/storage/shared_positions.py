"""The positions of a batch, recorded one by one because processes share the partition."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orderkeep.storage.queries import QUERIES
from orderkeep.storage.store import Batch

if TYPE_CHECKING:
    from asyncpg import Connection


async def record_shared(connection: "Connection[Any]", batch: Batch, source: int) -> None:
    """Within the batch's transaction; what its progress claims is deleted. Raises what asyncpg raises."""
    ranges = _shared_ranges(batch)
    claimed = {partition: position.next for partition, position in batch.progress.items()}
    await connection.execute(
        QUERIES["record_shared"],
        batch.group,
        source,
        list(ranges),
        list(ranges.values()),
        list(claimed),
        list(claimed.values()),
    )


def _shared_ranges(batch: Batch) -> dict[int, str]:
    """By partition, the positions of all messages, as PostgreSQL writes an int8multirange."""
    positions: dict[int, set[int]] = defaultdict(set)
    for message in batch.messages:
        positions[message.partition].add(message.position)
    return {partition: _multirange(sorted(found)) for partition, found in positions.items()}


def _multirange(ordered: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for position in ordered:
        if runs and runs[-1][1] == position:
            runs[-1][1] = position + 1
        else:
            runs.append([position, position + 1])
    return "{" + ",".join(f"[{first},{after})" for first, after in runs) + "}"
