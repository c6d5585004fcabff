"""Reading a source in the tests: what is known of its positions, and batches until there are enough."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from orderkeep.sources.source import Fetched, Source
from orderkeep.storage.store import Message, SourceIdentity


class Known:
    """The positions that the database knows, as far as the test says so."""

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}
        self.asked: list[SourceIdentity] = []

    async def resume(self, source: SourceIdentity) -> Mapping[int, int]:
        self.asked.append(source)
        return dict(self.positions)

    def store(self, batches: Sequence[Fetched]) -> None:
        """What a pipeline does: the outcomes of the batches are committed, and so is the progress."""
        for fetched in batches:
            self.positions |= {partition: span.next for partition, span in fetched.spans.items()}


@asynccontextmanager
async def opened(source: Source, known: Known) -> AsyncIterator[Source]:
    await source.open(known.resume)
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
