"""Faults of the service's own processes: killed, frozen, stopped, and a group that never rests."""

import random
import signal
from collections.abc import Iterator

from tests.chaos.fault import fault
from tests.chaos.scene import KeptService, Scene
from tests.service import Process

STOP_SECONDS = 30.0
"""The service gives itself 10 seconds to finish what is in flight, and closing its clients takes a few."""


@fault("ingest killed", part="ingest", hold=(0.2, 5.0))
def ingest_killed(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGKILL to ingest, which is started again after the pause."""
    scene.service.ingest.kill()
    yield
    scene.service.start_ingest()


@fault("ingest killed, another takes over", part="ingest", hold=(5.0, 8.0))
def ingest_killed_beside_another(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGKILL to ingest while a second one is in the group; the second stays until the first is back."""
    other = scene.service.another_ingest("ingest-heir")
    other.launch()
    scene.service.ingest.kill()
    yield
    scene.service.start_ingest()
    stop(other)


@fault("ingest frozen briefly", part="ingest", hold=(0.3, 1.5))
def ingest_frozen_briefly(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGSTOP to ingest for less than its session in the group."""
    scene.service.ingest.send_signal(signal.SIGSTOP)
    yield
    scene.service.ingest.send_signal(signal.SIGCONT)


@fault("ingest frozen for longer than its session", part="ingest", hold=(4.5, 7.0))
def ingest_frozen_long(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGSTOP to ingest until the group has taken its partitions away; nobody else has them meanwhile."""
    scene.service.ingest.send_signal(signal.SIGSTOP)
    yield
    scene.service.ingest.send_signal(signal.SIGCONT)


@fault("ingest frozen, its partitions move", part="ingest", hold=(6.0, 9.0))
def ingest_frozen_beside_another(scene: Scene, dice: random.Random) -> Iterator[None]:
    """SIGSTOP to ingest until another has its partitions; then both go on, and one of them leaves."""
    other = scene.service.another_ingest("ingest-heir")
    other.launch()
    scene.service.ingest.send_signal(signal.SIGSTOP)
    yield
    scene.service.ingest.send_signal(signal.SIGCONT)
    if dice.random() < 0.5:
        other.kill()
    else:
        stop(other)


@fault("ingest stopped in order", part="ingest", hold=(0.2, 4.0))
def ingest_stopped(scene: Scene, dice: random.Random) -> Iterator[None]:
    """SIGTERM or SIGINT to ingest, which has to end with 0; started again after the pause."""
    stop(scene.service.ingest, dice.choice((signal.SIGTERM, signal.SIGINT)))
    yield
    scene.service.start_ingest()


@fault("ingest restarted again and again", part="ingest", hold=(4.0, 8.0))
def ingest_restarted(scene: Scene, dice: random.Random) -> Iterator[None]:
    """A second ingest in the group is killed and started every moment, often before it has joined."""
    other = scene.service.another_ingest("ingest-unsteady")

    def restart() -> None:
        other.kill()
        other.launch()

    with scene.meanwhile(restart, dice, every=(0.2, 2.0)):
        yield
    other.kill()


@fault("rebalance storm", part="ingest", hold=(6.0, 10.0))
def rebalance_storm(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Ingest processes join the group and leave it, in order or killed, every second or two."""
    members: list[Process] = []

    def change() -> None:
        if len(members) < 2 or dice.random() < 0.4:
            members.append(scene.service.another_ingest(f"ingest-storm-{len(members)}"))
            members[-1].launch()
            return
        member = members.pop(dice.randrange(len(members)))
        if dice.random() < 0.5:
            member.kill()
        else:
            stop(member)

    with scene.meanwhile(change, dice, every=(0.8, 2.0)):
        yield
    for member in members:
        member.kill()


@fault("API killed", part="api", hold=(0.2, 4.0))
def api_killed(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGKILL to the API, which is started again after the pause and restores its cache."""
    scene.service.api.kill()
    yield
    scene.service.start_api()


@fault("API frozen", part="api", hold=(0.5, 6.0))
def api_frozen(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGSTOP to the API, which is behind the stream when it goes on."""
    scene.service.api.send_signal(signal.SIGSTOP)
    yield
    scene.service.api.send_signal(signal.SIGCONT)


@fault("API restarted in order", part="api", hold=(0.1, 2.0))
def api_restarted(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGTERM to the API under load, which has to end with 0; started again after the pause."""
    stop(scene.service.api)
    yield
    scene.service.start_api()


def stop(process: Process, request: signal.Signals = signal.SIGTERM) -> None:
    """Stop in order. It may have ended already, or be so young that it does not handle signals yet."""
    if process.exit_code is None:
        process.send_signal(request)
        process.wait(STOP_SECONDS)
    if process.exit_code not in (0, KeptService.UNAVAILABLE, -request):
        raise AssertionError(
            f"{process.name} ended with {process.exit_code} when it was asked to stop: "
            f"{process.output()[-500:]}"
        )
