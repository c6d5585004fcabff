"""What the log says of a broker that is away: at once, and again every ten seconds until it is back."""

import time

import structlog

from orderkeep.errors import OrderkeepError

COMPLAINT_SECONDS = 10.0

log = structlog.get_logger()


class Complaints:
    """Of one source, over all of its clients; each attempt to connect may be noted."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def note(self, error: OrderkeepError) -> None:
        """Log the error, unless one was logged a short while ago; never blocks."""
        now = time.monotonic()
        if now - self._last > COMPLAINT_SECONDS:
            self._last = now
            log.warning("broker_unavailable", error=str(error))
