"""A circuit breaker: a neighbour that fails again and again is not asked until a probe of it succeeds."""

FAILURES = 3
"""In a row; one alone may be a pause of either side."""
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class Breaker:
    """Closed, the neighbour is asked. Open, it is not, and only probed, after pauses that double.

    A probe that succeeds leaves it half open: the neighbour is asked again, and one failure opens it.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause = FIRST_PAUSE

    @property
    def is_open(self) -> bool:
        return self._failures >= FAILURES

    def succeed(self) -> None:
        """A call was answered. One that was asked before the breaker opened says nothing of now."""
        if not self.is_open:
            self._failures = 0
            self._pause = FIRST_PAUSE

    def fail(self) -> bool:
        """A call, or a probe, was not answered: whether that opened it."""
        was_open = self.is_open
        self._failures += 1
        return self.is_open and not was_open

    def half_open(self) -> None:
        """A probe was answered."""
        self._failures = FAILURES - 1

    def next_pause(self) -> float:
        """Seconds until the next probe."""
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return pause
