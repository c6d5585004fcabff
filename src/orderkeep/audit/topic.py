"""A topic and a group as their broker describes them, and which offsets an audit can therefore see."""

from collections.abc import Mapping
from typing import NamedTuple


class TopicState(NamedTuple):
    """A topic at one moment, by partition: `low` is the first offset that is left, `end` the one after the
    last that a reader of committed transactions gets, `committed` the group's, where it has one.
    `compacted` is None when the broker does not tell. `first` is where the very first message was.
    """

    kind: str
    topic: str
    incarnation: str
    low: Mapping[int, int]
    end: Mapping[int, int]
    committed: Mapping[int, int]
    compacted: bool | None
    first: int = 0


class Span(NamedTuple):
    """The offsets of a partition that are read, from `first` up to `next`, and how many around them are not.

    `deleted` by retention, `unread` those of them that were not acknowledged before, `unacknowledged` behind
    the committed offset, `lost_tail` acknowledged but beyond the end of the log.
    """

    partition: int
    first: int
    next: int
    deleted: int
    unread: int
    committed: int
    has_commit: bool
    unacknowledged: int
    lost_tail: int

    @property
    def length(self) -> int:
        """How many offsets are read."""
        return self.next - self.first


def plan(state: TopicState, since: Mapping[int, int], until: Mapping[int, int]) -> list[Span]:
    """What to read of each partition: from `since` or the beginning to `until` or the committed offset."""
    return [
        _span(state, partition, since.get(partition, state.first), until.get(partition))
        for partition in sorted(state.low)
    ]


def _span(state: TopicState, partition: int, since: int, until: int | None) -> Span:
    low, end, committed = state.low[partition], state.end[partition], state.committed.get(partition)
    acknowledged = 0 if committed is None else committed
    wanted = max(since, end if until is None else min(until, end))
    first = max(low, since)
    return Span(
        partition=partition,
        first=first,
        next=max(first, min(acknowledged, wanted)),
        deleted=max(0, min(low, wanted) - since),
        unread=max(0, min(low, wanted) - max(since, acknowledged)),
        committed=acknowledged,
        has_commit=committed is not None,
        unacknowledged=max(0, wanted - max(first, acknowledged)),
        lost_tail=max(0, acknowledged - end) if until is None else 0,
    )
