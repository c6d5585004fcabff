"""What an audit cannot prove, in plain sentences."""

from collections.abc import Iterator, Mapping, Sequence

from .topic import Span, TopicState


def unseen(
    state: TopicState,
    spans: Sequence[Span],
    *,
    messages: Mapping[int, int],
    shortened: Sequence[int],
    unreadable_headers: int,
) -> list[str]:
    """Say what the audit did not see.

    `messages` were read, by partition; of the partitions `shortened`, retention deleted the beginning while
    they were read; so many messages had `unreadable_headers`.
    """
    return [
        *(sentence for span in spans for sentence in _around(span)),
        *_within(state, sum(len(span) - messages.get(span.partition, 0) for span in spans)),
        *(
            f"Partition {partition}: retention deleted its beginning while it was read; whether rows are left "
            "over there was not checked."
            for partition in shortened
        ),
        *(
            [f"The headers of {unreadable_headers:,} rejects were not compared: a name is not UTF-8."]
            if unreadable_headers
            else []
        ),
    ]


def _around(span: Span) -> Iterator[str]:
    name = f"Partition {span.partition}"
    if span.deleted:
        yield f"{name}: {span.deleted:,} offsets before {span.first} were deleted by retention."
    if span.unread:
        yield f"{name}: {span.unread:,} of the deleted offsets had not been acknowledged by the group."
    if span.unacknowledged and not span.has_commit:
        yield f"{name}: the group has committed no offset; at most {span.unacknowledged:,} messages wait there."
    elif span.unacknowledged:
        yield f"{name}: at most {span.unacknowledged:,} messages from offset {span.next} are not acknowledged yet."
    if span.lost_tail:
        yield f"{name}: the group acknowledged {span.lost_tail:,} offsets beyond the end; the log was cut."


def _within(state: TopicState, gaps: int) -> Iterator[str]:
    if state.compacted:
        yield (
            "The topic is compacted: messages that a newer one of the same key replaced are gone, so rows "
            "without a message were not looked for."
        )
    if state.compacted is None:
        yield "Whether the topic is compacted is not known: the broker does not let this user see its settings."
    if gaps:
        yield (
            f"{gaps:,} offsets hold no message to read: "
            f"{'compacted away, ' if state.compacted else ''}aborted, or the end of a transaction."
        )
