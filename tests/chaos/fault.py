"""What a fault is, and the register of all kinds of them.

A fault is a generator: it breaks something, yields for as long as it is to last, and makes it whole again.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tests.chaos.scene import Scene

Part = Literal["ingest", "api", "postgres", "kafka", "topic", "network", "load", "disk", "clock"]
Course = Callable[["Scene", random.Random], Iterator[None]]


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `hold` are the least and the most seconds that it lasts.

    Two faults may overlap when `touches` of both have nothing in common. `missing` says why the fault cannot
    be had on this machine, or None. With `may_vanish` an order that was served may be gone afterwards; with
    `stops` a process may end with a message that says why.
    """

    name: str
    part: Part
    sentence: str
    hold: tuple[float, float]
    touches: frozenset[str]
    may_vanish: bool
    stops: bool
    missing: Callable[[], str | None] = field(repr=False)
    course: Callable[["Scene", random.Random], AbstractContextManager[None]] = field(repr=False)

    def may_overlap(self, other: "Fault") -> bool:
        return not self.touches & other.touches


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    part: Part,
    hold: tuple[float, float] = (1.0, 6.0),
    uses: frozenset[str] = frozenset(),
    needs: Callable[[], str | None] | None = None,
    may_vanish: bool = False,
    stops: bool = False,
) -> Callable[[Course], Course]:
    """Register the decorated generator function as a kind of fault; its docstring is its description.

    `uses` names the parts, besides `part`, that nothing else may break at the same time.
    """

    def register(course: Course) -> Course:
        if name in FAULTS:
            raise ValueError(f"two faults are called {name!r}")
        FAULTS[name] = Fault(
            name=name,
            part=part,
            sentence=" ".join((course.__doc__ or "").split()),
            hold=hold,
            touches=uses | {part},
            may_vanish=may_vanish,
            stops=stops,
            missing=needs or (lambda: None),
            course=contextmanager(course),
        )
        return course

    return register
