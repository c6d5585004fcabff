"""Dead letters in memory: complete, for tests."""

from collections.abc import Sequence

from orderkeep.storage.store import Refused, SourceIdentity


class MemoryDeadLetters:
    """The dead letters of any source, in the order in which they were delivered."""

    def __init__(self) -> None:
        self.delivered: list[tuple[SourceIdentity, Refused]] = []

    async def deliver(self, source: SourceIdentity, refused: Sequence[Refused]) -> None:
        self.delivered += [(source, one) for one in refused]
