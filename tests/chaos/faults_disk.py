"""Faults of PostgreSQL's disk: full, and then with space again."""

import random
import time
from collections.abc import Iterator
from contextlib import suppress

import asyncpg

from orderkeep.embedded import PostgresServer
from orderkeep.errors import Fatal
from tests.chaos.fault import fault
from tests.chaos.scene import Scene
from tests.chaos.small_disk import SmallDisk, missing

ON_POSTGRES = frozenset({"postgres"})
LEFT_BYTES = (0, 100_000, 2_000_000)
SEGMENTS = 500
"""More of the log than there are files for, before it has to make a new one."""
BACK_SECONDS = 60.0


@fault("disk full", part="disk", hold=(2.0, 8.0), uses=ON_POSTGRES, needs=missing)
def disk_full(scene: Scene, dice: random.Random) -> Iterator[None]:
    """PostgreSQL can store nothing more, while it answers what it has; then there is space again."""
    disk = _disk_of(scene)
    disk.fill(leave=dice.choice(LEFT_BYTES))
    yield
    disk.free()
    _bring_back(scene.primary)


@fault("disk full until PostgreSQL crashes", part="disk", hold=(1.0, 5.0), uses=ON_POSTGRES, needs=missing)
def disk_full_of_log(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """PostgreSQL cannot write its log, crashes, and cannot recover before there is space again."""
    disk = _disk_of(scene)
    disk.fill()
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        for _ in range(SEGMENTS):
            scene.execute("select pg_logical_emit_message(false, 'chaos', repeat('x', 1000))")
            scene.execute("select pg_switch_wal()")
        raise AssertionError("PostgreSQL writes its log without any space")
    yield
    disk.free()
    _bring_back(scene.primary)


def _disk_of(scene: Scene) -> SmallDisk:
    data = scene.primary.data
    return next(disk for disk in scene.servers.disks if data.is_relative_to(disk.folder))


def _bring_back(server: PostgresServer) -> None:
    """Start the server if it has ended, or ends just now for want of space; returns when it answers."""
    deadline = time.monotonic() + BACK_SECONDS
    while not _answers(server):
        assert time.monotonic() < deadline, f"PostgreSQL is not back after {BACK_SECONDS:g} seconds"
        if server.pid is None:
            with suppress(Fatal):  # what is left of the crash may still hold the port or the memory
                server.start()
        time.sleep(0.1)


def _answers(server: PostgresServer) -> bool:
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        server.execute("select 1")
        return True
    return False
