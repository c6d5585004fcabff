"""Orders without end, and as many broken messages among them as asked for."""

from collections import deque
from collections.abc import Iterator
from itertools import cycle
from typing import Final

from orderkeep.errors import ConfigurationError
from orderkeep.publish.broken import BREAKAGES, BrokenKind, broken
from orderkeep.publish.draw import Draw
from orderkeep.publish.generate import OrderGenerator
from orderkeep.publish.message import GeneratedMessage

REMEMBERED: Final = 1_000
"""Repeats and conflicts are of one of so many latest orders: some fall in the same batch, some do not."""


class Mixture(Iterator[GeneratedMessage]):
    """Orders without end, a share `bad` (0 to 1) of them broken, each kind as often as any other.

    A repeat or conflict follows its original under the same key, so that a broker keeps them in this order;
    as long as there is no original, an order comes in its place. Raises `ConfigurationError` for a share
    that is none.
    """

    def __init__(self, seed: int, bad: float = 0.0) -> None:
        if not 0 <= bad <= 1:
            raise ConfigurationError(f"the share of bad messages is {bad:g}: give one between 0 and 1")
        self._bad = bad
        self._orders = OrderGenerator(seed)
        self._draw = Draw(seed, "mixture")
        self._sent: deque[GeneratedMessage] = deque(maxlen=REMEMBERED)
        self._kinds = cycle(BREAKAGES)

    def __next__(self) -> GeneratedMessage:
        if self._bad and self._draw.fraction() < self._bad:
            return self._broken(next(self._kinds))
        return self._good()

    def _good(self) -> GeneratedMessage:
        message = self._orders.order()
        if self._bad:
            self._sent.append(message)
        return message

    def _broken(self, kind: BrokenKind) -> GeneratedMessage:
        expected = BREAKAGES[kind].expected
        if expected == "rejected":
            return broken(kind, self._draw, self._orders.order())
        return broken(kind, self._draw, self._draw.pick(self._sent)) if self._sent else self._good()
