"""Whether the position to read next is still there, for brokers that number messages without partitions."""

import structlog

from orderkeep.errors import OffsetGone
from orderkeep.sources.source import AcceptGap
from orderkeep.storage.store import Gap, SourceIdentity

PARTITION = 0
"""Of all messages."""
REMEDY = "to go on with what is there, and have the gap recorded, run `orderkeep ingest --accept-gap`"

log = structlog.get_logger()


async def within_retained(
    what: str, identity: SourceIdentity, low: int, high: int, position: int, accept_gap: AcceptGap | None
) -> int:
    """The position, when it lies from `low` up to `high`, which is behind the last message.

    Else `low`, once `accept_gap` has recorded what is missing. Raises `OffsetGone` without it; `what` names
    the kind of the broker's store.
    """
    if low <= position <= high:
        return position
    if accept_gap is None:
        raise _offset_gone(f"the {what} {identity.topic!r}", low, high, position)
    first, after = (position, low) if position < low else (high, position)
    await accept_gap(identity, Gap(PARTITION, first, after, begin=low))
    log.warning("gap_accepted", topic=identity.topic, partition=PARTITION, first=first, next=after)
    return low


def _offset_gone(where: str, low: int, high: int, position: int) -> OffsetGone:
    if position < low:
        missing = low - position
        return OffsetGone(
            f"{where} begins at {low:,}, and {position:,} was to be read next: {missing:,} messages "
            f"were deleted before they were stored; {REMEDY}",
            missing=missing,
        )
    return OffsetGone(
        f"{where} ends at {high:,}, and {position:,} was to be read next: it lost its end; {REMEDY}"
    )
