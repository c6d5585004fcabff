"""A broker in memory, and the source that reads it: complete, for tests and for trying the pipeline."""

import asyncio
from collections.abc import Mapping
from itertools import count

from orderkeep.sources.assignment import starting_offset
from orderkeep.sources.batching import split_by_bytes
from orderkeep.sources.source import MAX_MESSAGES, AcceptGap, Fetched, Resume, SourceStatus, Span
from orderkeep.storage.store import Message, SourceIdentity

_incarnations = count(1)


class MemoryTopic:
    """Partitions of messages, and the committed offsets of groups."""

    def __init__(self, name: str, partitions: int = 1) -> None:
        self.source = SourceIdentity("memory", name, str(next(_incarnations)))
        self.partitions: list[list[Message]] = [[] for _ in range(partitions)]
        self.committed: dict[tuple[str, int], int] = {}
        self.changed = asyncio.Event()

    def publish(self, payload: bytes | None, partition: int = 0, key: bytes | None = None) -> Message:
        messages = self.partitions[partition]
        message = Message(partition, len(messages), payload, key)
        messages.append(message)
        self.changed.set()
        return message


class MemorySource:
    """A `Source` that has all partitions of a `MemoryTopic` to itself."""

    def __init__(self, topic: MemoryTopic, group: str) -> None:
        self._topic = topic
        self._group = group
        self._next: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._stopped = False

    async def open(self, resume: Resume, accept_gap: AcceptGap | None = None) -> None:  # noqa: ARG002 - nothing is deleted
        known = await resume(self._topic.source)
        for partition in range(len(self._topic.partitions)):
            committed = self._topic.committed.get((self._group, partition), -1)
            self._next[partition] = starting_offset(committed, known.get(partition), 0)
        self._done = dict(self._next)

    async def fetch(self) -> Fetched | None:
        while not self._stopped:
            messages = self._take()
            if messages:
                return Fetched(self._topic.source, messages, self._spans(messages))
            self._topic.changed.clear()
            await self._topic.changed.wait()
        return None

    def acknowledge(self, fetched: Fetched) -> None:
        for partition, span in fetched.spans.items():
            self._topic.committed[self._group, partition] = self._done[partition] = span.next

    def status(self) -> SourceStatus:
        partitions = self._topic.partitions
        lag = {partition: len(partitions[partition]) - done for partition, done in self._done.items()}
        return SourceStatus(connected=True, lag=lag)

    def stop(self) -> None:
        self._stopped = True
        self._topic.changed.set()

    async def close(self) -> None:
        self.stop()

    def _take(self) -> list[Message]:
        waiting = [
            message
            for partition, messages in enumerate(self._topic.partitions)
            for message in messages[self._next[partition] :]
        ][:MAX_MESSAGES]
        taken = list(next(split_by_bytes(waiting), ()))
        for message in taken:
            self._next[message.partition] = message.position + 1
        return taken

    def _spans(self, messages: list[Message]) -> Mapping[int, Span]:
        first: dict[int, int] = {}
        for message in messages:
            first.setdefault(message.partition, message.position)
        return {
            partition: Span(start, self._next[partition], len(self._topic.partitions[partition]), epoch=0)
            for partition, start in first.items()
        }
