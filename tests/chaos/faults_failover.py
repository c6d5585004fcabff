"""Faults of PostgreSQL with a standby: failovers of every kind, a standby that is missed, a restore."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.fault import fault
from tests.chaos.scene import Scene
from tests.service import wait_until


@fault("primary killed, standby promoted", part="postgres", may_vanish=True)
def failover(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """SIGKILL to the primary, its standby is promoted without what it had not received, and gets a standby
    of its own later."""
    scene.primary.kill()
    _promote(scene)
    yield
    _make_standby(scene)


@fault("primary killed, synchronous standby promoted", part="postgres")
def synchronous_failover(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The same when commits have waited for the standby: nothing that was served may be gone."""
    with _synchronous(scene):
        time.sleep(dice.uniform(0.2, 2.0))
        scene.primary.kill()
        _promote(scene)
    yield
    _make_standby(scene)


@fault("switchover", part="postgres")
def switchover(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """The primary is stopped in order, its standby promoted, and the old primary becomes the standby."""
    scene.primary.stop()
    _promote(scene)
    yield
    _make_standby(scene)


@fault("old primary comes back", part="postgres", may_vanish=True)
def old_primary_comes_back(scene: Scene, dice: random.Random) -> Iterator[None]:
    """The primary freezes, its standby is promoted, and then the old one takes writes as well for a while."""
    scene.primary.pause()
    _promote(scene)
    time.sleep(dice.uniform(0.0, 8.0))
    scene.standby.resume()
    yield
    _make_standby(scene)


@fault("synchronous standby killed", part="postgres")
def synchronous_standby_killed(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Commits wait for a standby that is killed under load, until it is back."""
    with _synchronous(scene):
        time.sleep(dice.uniform(0.2, 1.0))
        scene.standby.kill()
        yield
        scene.standby.start()


@fault("synchronous standby frozen", part="postgres")
def synchronous_standby_frozen(scene: Scene, dice: random.Random) -> Iterator[None]:
    """Commits wait for a standby that answers nothing, and some of the waits are cancelled."""
    with _synchronous(scene):
        time.sleep(dice.uniform(0.2, 1.0))
        scene.standby.pause()
        with scene.meanwhile(lambda: scene.execute(_CANCEL_WAITS), dice):
            yield
        scene.standby.resume()


@fault("database restored", part="postgres", hold=(2.0, 8.0), may_vanish=True)
def database_restored(scene: Scene, _dice: random.Random) -> Iterator[None]:
    """The database is put back to a backup that was taken under load some seconds before."""
    scene.primary.back_up()
    yield
    scene.standby.stop("immediate")  # it is ahead
    scene.primary.restore_backup()
    scene.primary.start()
    _make_standby(scene)


_CANCEL_WAITS = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"


@contextmanager
def _synchronous(scene: Scene) -> Iterator[None]:
    """Commits wait for the standby; afterwards not any more, whoever is the primary then."""
    scene.primary.configure(synchronous_standby_names="*")
    wait_until(
        lambda: scene.primary.value("select sync_state from pg_stat_replication") == "sync",
        "the standby is synchronous",
    )
    yield
    scene.primary.configure(synchronous_standby_names="")


def _promote(scene: Scene) -> None:
    servers = scene.servers
    servers.standby.promote()
    servers.primary, servers.standby = servers.standby, servers.primary


def _make_standby(scene: Scene) -> None:
    """Make the other server a standby of the primary, whatever it is now."""
    scene.standby.become_standby(of=scene.primary)
    scene.standby.start()
