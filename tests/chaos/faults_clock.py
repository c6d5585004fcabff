"""Faults of the clocks: set back and forth while everything runs, as administrators and time servers do.

Not of ingest's clock: Kafka's client reckons with the time that libfaketime shows and waits by the kernel's,
so it would wait for as long as the clock is wrong. Where the kernel's own clock is set, both are the same.
"""

import random
from collections.abc import Iterator

from tests.chaos.clock import missing
from tests.chaos.fault import fault
from tests.chaos.scene import Scene

MINUTES = (1, 15, 24 * 60)


@fault("PostgreSQL's clock set back", part="clock", hold=(3.0, 6.0), needs=missing)
def postgres_clock_back(scene: Scene, dice: random.Random) -> Iterator[None]:
    """What is stored now was received, by PostgreSQL's clock, minutes to a day before what is there."""
    scene.servers.clocks["postgres"].set(-60 * dice.choice(MINUTES))
    yield
    scene.servers.clocks["postgres"].set_right()


@fault("PostgreSQL's clock set forward", part="clock", hold=(3.0, 6.0), needs=missing)
def postgres_clock_forward(scene: Scene, dice: random.Random) -> Iterator[None]:
    """For a while orders are received in the future; then the clock goes back to the right time."""
    scene.servers.clocks["postgres"].set(60 * dice.choice(MINUTES))
    yield
    scene.servers.clocks["postgres"].set_right()


@fault("the API's clock set back", part="clock", hold=(3.0, 6.0), needs=missing)
def api_clock_back(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The time of day of the API goes back, and then to the right time again."""
    scene.servers.clocks["api"].set(-60 * dice.choice(MINUTES))
    yield
    scene.servers.clocks["api"].set_right()


@fault("the API's clock set forward", part="clock", hold=(3.0, 6.0), needs=missing)
def api_clock_forward(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The time of day of the API jumps ahead, and then back."""
    scene.servers.clocks["api"].set(60 * dice.choice(MINUTES))
    yield
    scene.servers.clocks["api"].set_right()


@fault("a clock that is set again and again", part="clock", hold=(5.0, 9.0), needs=missing)
def postgres_clock_wanders(scene: Scene, dice: random.Random) -> Iterator[None]:
    """PostgreSQL's clock jumps back and forth by up to an hour every few seconds."""
    clock = scene.servers.clocks["postgres"]
    with scene.meanwhile(lambda: clock.set(dice.uniform(-3_600, 3_600)), dice, every=(2.0, 3.0)):
        yield
    clock.set_right()
