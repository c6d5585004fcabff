"""Bounded work: so many of a kind at once, each for so long; what is beyond is told so at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orderkeep.errors import DatabaseUnavailable, Overloaded


class Gate:
    """Keeps one kind of request from using up what all kinds share."""

    def __init__(self, what: str, size: int, seconds: float) -> None:
        """At most `size` at once, those that wait for a connection included, and each within `seconds`."""
        self._what = what
        self._size = size
        self._seconds = seconds
        self._inside = 0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Raises `Overloaded` when it is full, `DatabaseUnavailable` when the time is over."""
        if self._inside >= self._size:
            raise Overloaded(f"too many {self._what} are asked for at once; try again in a second")
        self._inside += 1
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise DatabaseUnavailable(f"{self._what}: no answer within {self._seconds:g} seconds") from None
        finally:
            self._inside -= 1
