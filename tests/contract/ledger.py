"""A database for the tests of sources that share their work: it believes no position without proof."""

import asyncio
from collections.abc import Callable

from orderkeep.errors import Fatal
from orderkeep.sources.source import Fetched, Source
from orderkeep.storage.store import SourceIdentity
from tests.contract.reading import Known

PATIENCE = 60.0


class Ledger(Known):
    """A database that checks every position it is told: all below it has to be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[int, bytes | None] = {}
        self.shared: set[int] = set()

    async def resume(self, source: SourceIdentity) -> dict[int, int]:
        known = dict(await super().resume(source))
        while 0 in known and known[0] in self.shared:
            known[0] += 1
        return known

    def commit(self, source: Source, fetched: Fetched) -> None:
        """What a pipeline does with the oldest batch of a source."""
        positions = {message.position: message.payload for message in fetched.messages}
        self.stored |= positions
        if fetched.shared:
            self.shared |= positions.keys()
        claim = fetched.spans[0].next
        assert set(range(1, claim)) <= self.stored.keys(), f"claims {claim}"
        self.positions[0] = max(claim, self.positions.get(0, 0))
        source.acknowledge(fetched)

    async def serve(self, source: Source, *, until: int) -> int:
        """Store what the source has, until so many messages are stored by all; returns its own share."""
        count = 0
        async with asyncio.timeout(PATIENCE):
            while len(self.stored) < until:
                fetching = asyncio.ensure_future(source.fetch())
                while not fetching.done() and len(self.stored) < until:
                    await asyncio.wait((fetching,), timeout=0.05)
                if not fetching.done():
                    fetching.cancel()
                    break
                fetched = fetching.result()
                assert fetched is not None
                self.commit(source, fetched)
                count += len(fetched.messages)
        return count


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


async def fatal(source: Source, known: Ledger) -> Fatal:
    """What ends the source; what comes before it is stored."""
    async with asyncio.timeout(PATIENCE):
        try:
            while (fetched := await source.fetch()) is not None:
                known.commit(source, fetched)
        except Fatal as error:
            return error
    raise AssertionError("the source ended without an error")
