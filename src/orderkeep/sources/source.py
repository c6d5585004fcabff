"""What a source of messages promises: the protocol that every broker's adapter keeps."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from orderkeep.storage.store import Gap, Message, SourceIdentity

MAX_MESSAGES = 5_000
MAX_BYTES = 16_000_000
"""A batch closes when it has this much; see `orderkeep.sources.batching`."""

Resume = Callable[[SourceIdentity], Coroutine[Any, Any, Mapping[int, int]]]
"""Asks the database for the next position of each partition that was begun. Retries until it answers."""

AcceptGap = Callable[[SourceIdentity, Gap], Coroutine[Any, Any, None]]
"""Records in the database that messages are gone; the partition is then read from its beginning."""


class Span(Struct, frozen=True):
    """What a batch holds of one partition: from `first` up to, not including, `next`.

    `end` is the end of the partition when the batch was fetched, or None; `epoch` numbers the assignment
    of the partition under which it was fetched.
    """

    first: int
    next: int
    end: int | None
    epoch: int


class Fetched(Struct, frozen=True):
    """Messages in the order of delivery, of any number of partitions of one source.

    There may be none, when all positions of the spans are the broker's own marks. When they are `shared`,
    other processes have the positions between them, and each has to be recorded by itself.
    """

    source: SourceIdentity
    messages: Sequence[Message]
    spans: Mapping[int, Span]
    shared: bool = False


class SourceStatus(Struct, frozen=True):
    """What is known of a source now.

    `connected` while the broker answers. `lag`, by partition of ours: messages that are there to be read and
    not acknowledged; a partition of which the end is not known is left out.
    """

    connected: bool
    lag: Mapping[int, int]


class Source(Protocol):
    """Hands over messages at least once, and redelivers whatever was not acknowledged.

    The order of calls: `open`, then `fetch` and `acknowledge` as long as `fetch` returns batches, then
    `close`. All are called from one event loop.
    """

    async def open(self, resume: Resume, accept_gap: AcceptGap | None = None) -> None:
        """Connect and join. Raises `Fatal`: the set-up is wrong, or nobody answers (`ServerUnavailable`).

        A position that the broker no longer has is an `OffsetGone`, unless `accept_gap` takes it.
        """

    async def fetch(self) -> Fetched | None:
        """The next batch; waits for one. None after `stop`, when there is nothing more to come.

        At most a bounded number of bytes wait inside the source for this call. Raises `Fatal`.
        """

    def acknowledge(self, fetched: Fetched) -> None:
        """Say that every outcome in the batch, and in all batches before it, is committed. Never blocks.

        What belongs to an assignment that has ended is dropped.
        """

    def status(self) -> SourceStatus:
        """As it was told in the last seconds, however the pipeline stands. Never blocks."""

    def stop(self) -> None:
        """Fetch nothing more. What was fetched is still handed over. Never blocks."""

    async def close(self) -> None:
        """Send the acknowledgements that are due and leave the group."""
