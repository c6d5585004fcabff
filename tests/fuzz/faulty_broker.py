"""A broker in memory with consumer groups: holes between positions, rebalances, commits that are lost."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count

from orderkeep.errors import OrderkeepError
from orderkeep.sources.assignment import Assignment, starting_offset
from orderkeep.sources.source import AcceptGap, Fetched, Resume, SourceStatus, Span
from orderkeep.storage.store import Message, SourceIdentity

_incarnations = count(1)


class Topic:
    """Partitions of messages with holes between their positions, and what one group has committed."""

    def __init__(self, partitions: int) -> None:
        self.source = SourceIdentity("memory", "orders", str(next(_incarnations)))
        self.partitions: list[list[Message]] = [[] for _ in range(partitions)]
        self.ends = [0] * partitions
        self.committed: dict[int, int] = {}

    def read_to_the_end(self) -> dict[int, int]:
        """By partition with a message, the position after its last."""
        return {partition: end for partition, end in enumerate(self.ends) if end}

    def publish(self, payload: bytes | None, partition: int, hole: int) -> Message:
        """Add a message after `hole` positions that hold none."""
        message = Message(partition, self.ends[partition] + hole, payload)
        self.partitions[partition].append(message)
        self.ends[partition] = message.position + 1
        return message


class Member:
    """A `Source` that is a member of the group, as Kafka's is: it reads one batch ahead of the pipeline.

    Everything that a broker does happens when the test calls it. `acknowledged` hears what the pipeline
    acknowledges, before it counts. `unless_acknowledged` is that of Kafka's source.
    """

    def __init__(
        self, topic: Topic, acknowledged: Callable[["Member", Fetched], None], *, unless_acknowledged: bool
    ) -> None:
        self._unless_acknowledged = unless_acknowledged
        self._topic = topic
        self._hear = acknowledged
        self._resume: Resume | None = None
        self._ahead: deque[Fetched | OrderkeepError] = deque()
        self._changed = asyncio.Event()
        self._stopped = False
        self._joining: asyncio.Task[None] | None = None
        self.assignment = Assignment()
        self.handed_over: list[Fetched] = []
        """What the pipeline has, in the order of delivery, and has not acknowledged."""

    async def open(self, resume: Resume, accept_gap: AcceptGap | None = None) -> None:  # noqa: ARG002 - nothing is deleted
        self._resume = resume

    async def fetch(self) -> Fetched | None:
        while not self._ahead:
            if self._stopped:
                return None
            self._changed.clear()
            await self._changed.wait()
        item = self._ahead.popleft()
        if isinstance(item, OrderkeepError):
            raise item
        self.handed_over.append(item)
        return item

    def status(self) -> SourceStatus:
        return SourceStatus(connected=True, lag={})

    def acknowledge(self, fetched: Fetched) -> None:
        self._hear(self, fetched)
        self.handed_over.remove(fetched)
        self.assignment.acknowledge(fetched.spans)

    def stop(self) -> None:
        self._stopped = True
        self._changed.set()

    async def close(self) -> None:
        self.stop()
        self.commit(arrives=True)
        self.leave()

    @property
    def opened(self) -> bool:
        return self._resume is not None and not self._stopped

    @property
    def joining(self) -> bool:
        return self._joining is not None and not self._joining.done()

    def holds(self, partition: int) -> bool:
        return self.assignment.holds(partition)

    def assign(self, partitions: Collection[int], loop: asyncio.AbstractEventLoop) -> None:
        """Begin to take partitions over: the database is asked first, as long as that takes."""
        self._joining = loop.create_task(self._join(list(partitions)))

    def revoke(self, partitions: Collection[int]) -> None:
        """Give them away after committing what is acknowledged; without `commit` before, they are lost."""
        self._cancel_joining()
        self.assignment.revoke(partitions)

    def leave(self) -> None:
        self._cancel_joining()
        self.assignment.forget_all()

    def commit(self, *, arrives: bool) -> None:
        """Send what is acknowledged to the broker, which may not hear it."""
        for partition, position in self.assignment.take_acknowledged().items():
            if arrives:
                self._topic.committed[partition] = position
            else:
                self.assignment.acknowledge_again(partition, position)

    def read(self, limit: int) -> None:
        """Read a batch of at most `limit` messages, when the one before is taken."""
        if self._ahead or self._stopped or self.joining:
            return
        messages = [
            message
            for partition, messages in enumerate(self._topic.partitions)
            if self.holds(partition)
            for message in messages
            if message.position >= self.assignment.next_position(partition)
        ][:limit]
        if messages:
            fetched = Fetched(self._topic.source, messages, self._spans(messages))
            self.assignment.hand_out(fetched.spans)
            self._ahead.append(fetched)
            self._changed.set()

    def fail(self, error: OrderkeepError) -> None:
        """Raise it at the pipeline's next fetch."""
        self._ahead.append(error)
        self._changed.set()

    def follow(self, topic: Topic) -> None:
        """The topic was deleted and made again: a new consumer begins."""
        self.leave()
        self._topic = topic

    async def _join(self, partitions: Sequence[int]) -> None:
        assert self._resume is not None
        try:
            known = await self._resume(self._topic.source)
        except OrderkeepError as error:
            self.fail(error)
            return
        self.assignment.assign({partition: self._start(partition, known) for partition in partitions})

    def _start(self, partition: int, known: Mapping[int, int]) -> int:
        committed = self._topic.committed.get(partition, -1)
        trusted = committed >= 0 or not self._unless_acknowledged
        return starting_offset(committed, known.get(partition) if trusted else None, 0)

    def _cancel_joining(self) -> None:
        if self._joining is not None:
            self._joining.cancel()

    def _spans(self, messages: Sequence[Message]) -> Mapping[int, Span]:
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for message in messages:
            first.setdefault(message.partition, message.position)
            last[message.partition] = message.position
        return {
            partition: Span(
                start, last[partition] + 1, self._topic.ends[partition], self.assignment.epoch(partition)
            )
            for partition, start in first.items()
        }
