"""PostgreSQL fails over, under load and in every disorder: the primary is found again, nothing is lost."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import INGEST, Database, drop_database, make_database
from tests.orders import order
from tests.pair import Pair
from tests.service import Service, wait_until

from .conftest import MakeService
from .load import Load, prove, read_back, wait_for_commits

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def pair(servers_folder: Path) -> Iterator[Pair]:
    pair = Pair(servers_folder, "failover")
    yield pair
    pair.stop()


@pytest.fixture
def database(pair: Pair) -> Iterator[Database]:
    made = make_database(pair.primary)
    pair.wait_until_caught_up()
    yield made
    pair.make_whole()
    drop_database(Database(pair.primary, made.name))


@pytest.fixture
def service(make_service: MakeService, pair: Pair, database: Database) -> Service:
    """Over both servers, for reading and writing."""
    url = pair.url(INGEST, database.name)
    return make_service(database_url=url, read_url=url)


def lose_the_end(pair: Pair, service: Service) -> None:
    """Have ingest confirm what the standby never gets, and promote the standby in place of the primary."""
    pair.standby.kill()  # frozen, it would find everything in its sockets
    wait_for_commits(service.ingest, 200)
    pair.primary.kill()
    pair.standby.start()
    pair.promote()


def test_confirmed_and_not_on_the_new_primary(service: Service, pair: Pair) -> None:
    """What a promoted standby lacks of what was confirmed is read again, by an ingest that goes on."""
    service.start()
    pid = service.ingest.pid
    with Load(service) as load:
        wait_for_commits(service.ingest)
        lose_the_end(pair, service)
        service.ingest.wait_for("database_went_back")
        load.wait_for_more()
    prove(service, load)
    read_back(service, load)
    assert service.ingest.pid == pid


def test_not_on_the_new_primary_after_a_restart(service: Service, pair: Pair) -> None:
    """The same when ingest was not there during the failover: it begins where the new primary is."""
    service.start()
    with Load(service) as load:
        wait_for_commits(service.ingest)
        pair.standby.kill()
        wait_for_commits(service.ingest, 200)
        assert service.ingest.stop() == 0
        pair.primary.kill()
        pair.standby.start()
        pair.promote()
        service.start_ingest()
        load.wait_for_more()
    prove(service, load)
    read_back(service, load)


def test_restored_to_an_earlier_time(service: Service, pair: Pair) -> None:
    """A database that is put back to a backup of some moments ago gets again what it lacks."""
    service.start()
    with Load(service) as load:
        wait_for_commits(service.ingest)
        pair.primary.back_up()
        wait_for_commits(service.ingest, 200)
        pair.standby.kill()
        pair.diverged = True
        pair.primary.restore_backup()
        pair.primary.start()
        service.ingest.wait_for("database_went_back")
        load.wait_for_more()
    prove(service, load)
    read_back(service, load)


def test_switchover(service: Service, pair: Pair) -> None:
    """A switchover in order, there and back again, loses nothing, and nobody is restarted."""
    service.start()
    pids = service.ingest.pid, service.api.pid
    with Load(service) as load:
        for _ in range(2):
            wait_for_commits(service.ingest)
            pair.primary.stop()  # in order: it sends the standby everything first
            pair.promote()
            load.wait_for_more()
            pair.rebuild()
    prove(service, load)
    read_back(service, load)
    assert (service.ingest.pid, service.api.pid) == pids
    assert service.ingest.events("database_went_back") == []


def test_old_primary_comes_back(service: Service, pair: Pair) -> None:
    """An old primary that was frozen is left for the promoted one, and not returned to when it is writable
    again, neither by a running ingest nor by a new one."""
    service.start()
    with Load(service) as load:
        wait_for_commits(service.ingest)
        pair.primary.pause()
        pair.promote()
        wait_for_commits_to(pair, service)
        pair.standby.resume()
        for restarted in (False, True):
            if restarted:
                service.ingest.stop()
                service.start_ingest()
            else:
                end_connections(pair)
            wait_for_commits_to(pair, service)
    prove(service, load)
    read_back(service, load)


def wait_for_commits_to(pair: Pair, service: Service) -> None:
    """Wait until the primary has another hundred orders."""
    name = service.env["ORDERKEEP_DATABASE_URL"].rpartition("/")[2].partition("?")[0]

    def count() -> int:
        return int(pair.primary.value("select count(*) from orders", name))

    enough = count() + 100
    wait_until(lambda: count() >= enough, f"the new primary gets orders; {service.ingest.output()[-1_000:]}")


def end_connections(pair: Pair) -> None:
    pair.primary.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name like 'orderkeep%' and pid <> pg_backend_pid()"
    )


def test_frozen_in_a_transaction(service: Service, pair: Pair, database: Database) -> None:
    """An ingest frozen in mid-transaction does not hold up the one that takes over its partitions; when it
    is thawed, it adds nothing, and works on."""
    service.start_ingest()
    with Load(service, rate=3_000.0) as load:
        wait_for_commits(service.ingest)
        freeze_in_a_transaction(service, pair, database)
        other = service.another_ingest("other")
        other.start()
        load.wait_for_more(1_000)
    service.wait_until_acknowledged()  # while the first is frozen
    service.ingest.send_signal(signal.SIGCONT)
    other.stop()
    with Load(service, seed=2) as more:
        wait_for_commits(service.ingest)
    prove(service, load, more)


def freeze_in_a_transaction(service: Service, pair: Pair, database: Database) -> None:
    """SIGSTOP ingest, as often as it takes to catch it with locks on what it has inserted."""

    def caught() -> bool:
        service.ingest.send_signal(signal.SIGSTOP)
        time.sleep(0.05)  # what PostgreSQL does without ingest's help, it has done
        holds = pair.primary.value(
            "select count(*) from pg_stat_activity join pg_locks using (pid)"
            f" where datname = '{database.name}' and backend_xid is not null"
            " and wait_event = 'ClientRead' and relation = 'orders'::regclass and mode = 'RowExclusiveLock'",
            database.name,
        )
        if not holds:
            service.ingest.send_signal(signal.SIGCONT)
        return bool(holds)

    wait_until(caught, "ingest is caught in a transaction")


def test_readers_on_a_standby(make_service: MakeService, pair: Pair, database: Database) -> None:
    """The API reads a standby and never says that an order is not there when only the standby lacks it:
    it asks the primary, and without one it says 503."""
    standby_url = pair.standby.url(INGEST, database=database.name)
    service = make_service(database_url=pair.url(INGEST, database.name), read_url=standby_url)
    service.start()
    service.publish([order("old")])
    pair.wait_until_caught_up()
    pair.standby.execute("select pg_wal_replay_pause()")
    uncached = make_service(  # so that every order is read from the database
        database_url=pair.url(INGEST, database.name),
        read_url=standby_url,
        env={"ORDERKEEP_CACHE_MAX_BYTES": "0"},
    )
    service.api.stop()
    uncached.start_api()
    service.send([order("new")])
    with httpx.Client(base_url=uncached.url, timeout=60) as client:
        wait_until(lambda: client.get("/orders/new").status_code == 200, "the order is served")
        assert client.get("/orders/new").content == order("new")
        answer = client.get("/orders/none")
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
        pair.primary.kill()
        assert client.get("/orders/new").status_code == 503
        assert client.get("/orders/none").status_code == 503
        answer = client.get("/orders/old")
        assert (answer.status_code, answer.content) == (200, order("old"))
        pair.primary.start()
        wait_until(lambda: client.get("/orders/new").status_code == 200, "the order is served again")
        pair.standby.kill()
        assert client.get("/orders/old").status_code == 200
