"""Faults of PostgreSQL: the server away or frozen, its sessions ended, its resources used up."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import asyncpg

from tests.chaos.fault import fault
from tests.chaos.scene import Scene
from tests.conftest import INGEST, OWNER, PASSWORD, READER

ALL_SESSIONS = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    f" where usename in ('{INGEST}', '{READER}') and pid <> pg_backend_pid()"
)


@fault("PostgreSQL killed", part="postgres", hold=(0.2, 5.0))
def postgres_killed(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGKILL to PostgreSQL, which recovers from its log when it is started again."""
    scene.primary.kill()
    yield
    scene.primary.start()


@fault("PostgreSQL frozen", part="postgres", hold=(1.0, 8.0))
def postgres_frozen(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGSTOP to every process of PostgreSQL: connections stay open and nothing is answered."""
    scene.primary.pause()
    yield
    scene.primary.resume()


@fault("PostgreSQL restarted", part="postgres", hold=(0.0, 0.1))
def postgres_restarted(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """PostgreSQL is stopped in order under load, and started at once."""
    scene.primary.stop()
    scene.primary.start()
    yield


@fault("PostgreSQL away", part="postgres", hold=(5.0, 12.0))
def postgres_away(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """PostgreSQL is stopped in order and stays away."""
    scene.primary.stop()
    yield
    scene.primary.start()


@fault("sessions terminated", part="postgres", hold=(2.0, 6.0))
def sessions_terminated(scene: Scene, dice: random.Random) -> Iterator[None]:
    """An administrator ends all sessions of the service, again and again."""
    with scene.meanwhile(lambda: scene.execute(ALL_SESSIONS), dice, every=(0.05, 1.0)):
        yield


@fault("sessions terminated one by one", part="postgres", hold=(2.0, 6.0))
def single_sessions_terminated(scene: Scene, dice: random.Random) -> Iterator[None]:
    """One session of the service is ended every moment, whatever it is doing."""
    with scene.meanwhile(
        lambda: scene.execute(f"{ALL_SESSIONS} order by random() limit 1"), dice, every=(0.02, 0.3)
    ):
        yield


@fault("statements cancelled", part="postgres", hold=(2.0, 6.0))
def statements_cancelled(scene: Scene, dice: random.Random) -> Iterator[None]:
    """What the service asks is cancelled again and again, COMMIT included."""
    cancel = ALL_SESSIONS.replace("pg_terminate_backend", "pg_cancel_backend")
    with scene.meanwhile(lambda: scene.execute(cancel), dice, every=(0.01, 0.2)):
        yield


@fault("read-only database", part="postgres", hold=(1.0, 6.0))
def read_only(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """PostgreSQL takes no writes, as a primary that has become a standby does."""
    scene.execute("alter system set default_transaction_read_only = on")
    scene.execute("select pg_reload_conf()")
    scene.execute(ALL_SESSIONS)
    yield
    scene.execute("alter system reset default_transaction_read_only")
    scene.execute("select pg_reload_conf()")


@fault("no connections left", part="postgres", hold=(2.0, 6.0))
def no_connections_left(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """Somebody else holds every connection of the server; the service's are ended first."""
    with asyncio.Runner() as runner:
        held = runner.run(_take_connections(scene))
        yield
        for connection in held:
            connection.terminate()


@fault("statements limited to 20 ms", part="postgres", hold=(2.0, 5.0))
def short_statements(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """An administrator sets statement_timeout so low that large batches and restores are cancelled."""
    with _database_setting(scene, "statement_timeout", "20ms"):
        yield


@fault("idle transactions ended after 1 ms", part="postgres", hold=(2.0, 5.0))
def short_transactions(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """An administrator sets idle_in_transaction_session_timeout so low that sessions end in mid-batch."""
    with _database_setting(scene, "idle_in_transaction_session_timeout", "1ms"):
        yield


@fault("notification queue full", part="postgres", hold=(3.0, 8.0))
def notification_queue_full(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """A listener stands still in a transaction until PostgreSQL's queue of notifications is full."""
    with asyncio.Runner() as runner:
        listener = runner.run(_frozen_listener(scene))
        with suppress(asyncpg.ProgramLimitExceededError):
            while True:
                scene.execute("select pg_notify('chaos', repeat('x', 7900)) from generate_series(1, 20)")
        yield
        listener.terminate()


@contextmanager
def _database_setting(scene: Scene, name: str, value: str) -> Iterator[None]:
    """A default of the sequence's database, in force in every session of the service."""
    scene.primary.execute(f"alter database {scene.database} set {name} = '{value}'")
    scene.primary.execute(ALL_SESSIONS)
    yield
    scene.primary.execute(f"alter database {scene.database} reset {name}")
    scene.primary.execute(ALL_SESSIONS)


async def _take_connections(scene: Scene) -> list["asyncpg.Connection[asyncpg.Record]"]:
    """All that an ordinary user can have, the service's among them."""
    held = []
    url = scene.primary.url(OWNER, PASSWORD, scene.database)
    administrator = await asyncpg.connect(scene.primary.url(database=scene.database))
    quiet = 0
    while quiet < 3:
        await administrator.execute(ALL_SESSIONS)
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                held.append(await asyncpg.connect(url))
        quiet += 1
    await administrator.close()
    return held


async def _frozen_listener(scene: Scene) -> "asyncpg.Connection[asyncpg.Record]":
    """Within a transaction a session takes no notifications, so the queue keeps all that follow."""
    listener = await asyncpg.connect(scene.primary.url(database=scene.database))
    await listener.execute("listen chaos_nobody")
    await listener.execute("begin")
    await listener.execute("select 1")
    return listener
