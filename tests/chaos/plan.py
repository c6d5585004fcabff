"""Which faults a sequence has, and when: all of it follows from its seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.fault import Fault

FAULTS_A_SEQUENCE = (3, 6)
AT_A_TIME = ((1, 2, 3), (50, 38, 12))
"""How many faults overlap, and how often, of a hundred."""
PATIENT = 0.75
"""So often the next faults wait until the service has recovered from those before."""
SMALL_CACHE = 40_000_000
"""Bytes; about half of the orders of a sequence."""
PROTOCOLS: dict[str, dict[str, Any]] = {
    "cooperative": {"session.timeout.ms": 3000, "heartbeat.interval.ms": 700},
    "eager": {
        "session.timeout.ms": 3000,
        "heartbeat.interval.ms": 700,
        "partition.assignment.strategy": "range",
    },
    "consumer": {"group.protocol": "consumer"},
}
"""Kafka's ways to share out the partitions, as options of the client."""


@dataclass(frozen=True)
class Planned:
    """A fault that begins `start` seconds after its stage and lasts for `hold`; `seed` rolls its dice."""

    fault: Fault
    start: float
    hold: float
    seed: int

    def dice(self) -> random.Random:
        return random.Random(self.seed)


@dataclass(frozen=True)
class Stage:
    """Faults that overlap, in the order of their starts.

    It begins `pause` seconds after those before are over; with `patient`, after the service is healthy too.
    """

    faults: tuple[Planned, ...]
    pause: float
    patient: bool


@dataclass(frozen=True)
class Plan:
    """A sequence as planned: `bad` is the share of broken messages, `cache_bytes` the API's limit.

    With `reads_standby` the API reads from the standby what it does not have in memory.
    """

    seed: int
    stages: tuple[Stage, ...]
    protocol: str
    bad: float
    cache_bytes: int | None
    partitions: int
    reads_standby: bool

    def has_fault(self, name: str) -> bool:
        """Whether the name of one of its faults begins so."""
        return any(planned.fault.name.startswith(name) for stage in self.stages for planned in stage.faults)


def seeds(first: int) -> Iterator[int]:
    """The seeds of a run's sequences. The first is the run's own, so that any sequence can be run alone."""
    yield first
    dice = random.Random(first)
    while True:
        yield dice.randrange(2**31)


def draw_plan(seed: int, kinds: Sequence[Fault]) -> Plan:
    """A plan of several faults out of `kinds`; the same arguments give the same plan."""
    dice = random.Random(f"plan {seed}")
    stages, left = [], dice.randint(*FAULTS_A_SEQUENCE)
    while left:
        wanted = min(left, dice.choices(*AT_A_TIME)[0])
        stages.append(_draw_stage(wanted, kinds, dice))
        left -= len(stages[-1].faults)
    return _plan(seed, stages, dice)


def fixed_plan(seed: int, kinds: Sequence[Fault], pause: float = 1.0) -> Plan:
    """A plan of exactly these faults, one begun `pause` seconds after the other, held as short as can be."""
    dice = random.Random(f"fixed plan {seed}")
    faults = [
        Planned(kind, number * pause, kind.hold[0], dice.randrange(2**31))
        for number, kind in enumerate(kinds)
    ]
    return _plan(seed, [Stage(tuple(faults), pause, patient=True)], dice)


def _draw_stage(wanted: int, kinds: Sequence[Fault], dice: random.Random) -> Stage:
    """Up to `wanted` faults: fewer, when nothing fits beside those that are drawn."""
    drawn = [_planned(dice.choice(kinds), 0.0, dice)]
    while len(drawn) < wanted:
        fitting = [kind for kind in kinds if all(kind.may_overlap(other.fault) for other in drawn)]
        if not fitting:
            break
        drawn.append(_planned(dice.choice(fitting), dice.uniform(0, drawn[0].hold), dice))
    drawn.sort(key=lambda planned: planned.start)
    return Stage(tuple(drawn), dice.uniform(0.2, 1.5), patient=dice.random() < PATIENT)


def _planned(kind: Fault, start: float, dice: random.Random) -> Planned:
    return Planned(kind, start, dice.uniform(*kind.hold), dice.randrange(2**31))


def _plan(seed: int, stages: Sequence[Stage], dice: random.Random) -> Plan:
    return Plan(
        seed=seed,
        stages=tuple(stages),
        protocol=dice.choices(list(PROTOCOLS), weights=(5, 2, 3))[0],
        bad=dice.choice((0.005, 0.01, 0.02)),
        cache_bytes=SMALL_CACHE if dice.random() < 0.15 else None,
        partitions=dice.choice((2, 4, 6)),
        reads_standby=dice.random() < 0.3,
    )
