"""Reading a source in the tests: what is known of its positions, and batches until there are enough."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from orderkeep.sources.source import Fetched, Source
from orderkeep.storage.store import Gap, Message, SourceIdentity


class Known:
    """The positions that the database knows, as far as the test says so."""

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}
        self.asked: list[SourceIdentity] = []
        self.gaps: list[Gap] = []

    async def resume(self, source: SourceIdentity) -> Mapping[int, int]:
        self.asked.append(source)
        return dict(self.positions)

    async def accept_gap(self, _source: SourceIdentity, gap: Gap) -> None:
        self.gaps.append(gap)
        self.positions[gap.partition] = gap.begin

    def store(self, batches: Sequence[Fetched]) -> None:
        """What a pipeline does: the outcomes of the batches are committed, and so is the progress."""
        for fetched in batches:
            self.positions |= {partition: span.next for partition, span in fetched.spans.items()}


@asynccontextmanager
async def opened(source: Source, known: Known, *, accept_gaps: bool = False) -> AsyncIterator[Source]:
    await source.open(known.resume, known.accept_gap if accept_gaps else None)
    try:
        yield source
    finally:
        await source.close()


async def read(source: Source, count: int) -> list[Fetched]:
    """Batches until they hold `count` messages, and not one more."""
    batches: list[Fetched] = []
    async with asyncio.timeout(60):
        while len(messages(batches)) < count:
            fetched = await source.fetch()
            assert fetched is not None, f"the source ended after {len(messages(batches))} of {count} messages"
            batches.append(fetched)
    assert len(messages(batches)) == count
    return batches


async def first(source: Source) -> Fetched:
    """The first batch with messages: one without tells only of positions."""
    async with asyncio.timeout(60):
        while (fetched := await source.fetch()) is not None:
            if fetched.messages:
                return fetched
    raise AssertionError("the source ended")


async def rest(source: Source) -> list[Fetched]:
    """Everything until the source ends."""
    batches: list[Fetched] = []
    async with asyncio.timeout(60):
        while (fetched := await source.fetch()) is not None:
            batches.append(fetched)
    return batches


def messages(batches: Sequence[Fetched]) -> list[Message]:
    return [one for fetched in batches for one in fetched.messages]


def payloads(batches: Sequence[Fetched], partition: int | None = None) -> list[bytes | None]:
    """In the order of delivery; of one partition, when it is named."""
    return [one.payload for one in messages(batches) if partition in (None, one.partition)]
