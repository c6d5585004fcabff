"""Where rejects go besides the store, when somebody wants to hear of them: the protocol of such a place."""

from collections.abc import Sequence
from typing import Protocol

from orderkeep.storage.store import Refused, SourceIdentity


class DeadLetters(Protocol):
    """Takes every message that was kept aside at least once, before it is acknowledged to its source."""

    async def deliver(self, source: SourceIdentity, refused: Sequence[Refused]) -> None:
        """Return when all of them are safe where they were sent; they may have been sent before.

        Raises `Transient` when it is worth trying again (all of them), `Fatal` when it is not.
        """
