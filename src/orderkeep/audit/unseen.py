"""What an audit cannot prove, in plain sentences."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from .topic import Span, TopicState


class AcceptedGap(NamedTuple):
    """Offsets from `first` up to, not with, `next` that a person accepted as gone before they were stored."""

    partition: int
    first: int
    next: int
    accepted_at: datetime


def unseen(
    state: TopicState,
    spans: Sequence[Span],
    *,
    gaps: int,
    accepted: Sequence[AcceptedGap],
    shortened: Sequence[int],
    unreadable_headers: int,
    discarded: int,
) -> list[str]:
    """Say what the audit did not see.

    So many offsets were `gaps`; some were `accepted` as gone; of the partitions `shortened`, retention
    deleted the beginning while they were read; so many rejects have `unreadable_headers`, and of so
    many the content is `discarded`.
    """
    sentences = [sentence for span in spans for sentence in _around(span)]
    sentences += _within(state, gaps)
    sentences += [
        f"Partition {gap.partition}: at most {gap.next - gap.first:,} messages before offset {gap.next:,} "
        f"were deleted before they were stored; accepted on {gap.accepted_at:%Y-%m-%d at %H:%M} UTC."
        for gap in accepted
    ]
    sentences += [
        f"Partition {partition}: retention deleted its beginning during the audit, so it was not checked "
        "whether there are rows without a message."
        for partition in shortened
    ]
    if unreadable_headers:
        sentences.append(
            f"Headers of {unreadable_headers:,} rejects: a name is not UTF-8 and cannot be read."
        )
    if discarded:
        sentences.append(
            f"The content of {discarded:,} rejects was discarded after ORDERKEEP_REJECTS_RETENTION_DAYS: "
            "only the hash of the payload was compared."
        )
    return sentences


def _around(span: Span) -> Iterator[str]:
    name = f"Partition {span.partition}"
    waiting = f"at most {span.unacknowledged:,} messages"
    if span.deleted:
        yield f"{name}: {span.deleted:,} offsets before {span.first:,} were deleted by retention."
    if span.unread:
        yield f"{name}: {span.unread:,} of the deleted offsets had not been acknowledged by the group."
    if span.unacknowledged and span.has_commit:
        yield f"{name}: {waiting} after the committed offset {span.committed:,} are not acknowledged yet."
    elif span.unacknowledged:
        yield f"{name}: the group has no committed offset; {waiting} wait there."
    if span.lost_tail:
        yield f"{name}: {span.lost_tail:,} acknowledged offsets lie beyond its end: the broker lost them."


def _within(state: TopicState, gaps: int) -> Iterator[str]:
    if state.compacted:
        yield (
            "The topic is compacted: messages that a newer one of the same key replaced are gone, so it was "
            "not checked whether there are rows without a message."
        )
    if state.compacted is None:
        yield "Whether the topic is compacted: the broker does not show its settings to this user."
    if gaps:
        compacted = "compacted away, " if state.compacted else ""
        yield f"{gaps:,} offsets hold no message to read: {compacted}aborted, or the end of a transaction."
