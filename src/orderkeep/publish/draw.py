"""Chance that repeats itself: the same seed makes the same draws on every machine and every Python."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A stream of draws; different names under the same seed are independent streams.

    Python promises an unchanging sequence for `random()` alone, not for `choice` or `randrange`; that it is
    also the fastest of them is welcome.
    """

    def __init__(self, seed: int, name: str) -> None:
        self.fraction = random.Random(f"{name} {seed}").random  # noqa: S311 - for looks, not for secrets

    def below(self, bound: int) -> int:
        """An integer from 0 to `bound` - 1."""
        return int(self.fraction() * bound)

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.fraction() * len(choices))]
