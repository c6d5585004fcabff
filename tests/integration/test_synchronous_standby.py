"""With a synchronous standby, whatever was acknowledged to the broker is on it: proved by promoting it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import INGEST, Database, drop_database, make_database
from tests.pair import Pair
from tests.service import Service, wait_until

from .conftest import MakeService
from .load import Load, prove, read_back, status, wait_for_commits

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def pair(servers_folder: Path) -> Iterator[Pair]:
    pair = Pair(servers_folder, "synchronous")
    yield pair
    pair.stop()


@pytest.fixture
def database(pair: Pair) -> Iterator[Database]:
    made = make_database(pair.primary)
    pair.wait_until_caught_up()
    pair.synchronous(on=True)
    yield made
    pair.make_whole()
    drop_database(Database(pair.primary, made.name))


@pytest.fixture
def service(make_service: MakeService, pair: Pair, database: Database) -> Service:
    url = pair.url(INGEST, database.name)
    return make_service(database_url=url, read_url=url)


def test_standby_dies_in_mid_batch(service: Service, pair: Pair) -> None:
    """Commits wait for a standby that died; cut off, they are there, and their retry, all of it delivered
    before, waits as well. The standby is back, and promoted: it has all that was acknowledged."""
    service.start()
    pid = service.ingest.pid
    with Load(service) as load:
        wait_for_commits(service.ingest)
        pair.standby.kill()
        cut_off = wait_for_waiting(pair)
        pair.primary.execute(f"select pg_terminate_backend(pid) from unnest(array{cut_off}) as pid")
        service.ingest.wait_for("write_retried")
        wait_for_waiting(pair, others_than=cut_off)
        load.wait_for_more()
        pair.standby.start()
        wait_for_commits(service.ingest)
        pair.primary.kill()
        pair.promote()
        prove_what_is_acknowledged(service)
        pair.rebuild()  # until then, the new primary waits for a standby
        load.wait_for_more()
    prove(service, load)
    read_back(service, load)
    assert service.ingest.events("database_went_back") == []
    assert status(service.ingest)["outcomes"]["redelivered"] > 0
    assert service.ingest.pid == pid


def test_wait_cancelled_by_an_operator(service: Service, pair: Pair) -> None:
    """A commit whose wait somebody cancels warns, and is not taken for a success: the standby, which never
    got it, is promoted, and nothing that was acknowledged is missing."""
    service.start()
    with Load(service) as load:
        wait_for_commits(service.ingest)
        pair.standby.pause()
        pids = wait_for_waiting(pair)
        for _ in range(2):
            pair.primary.execute(f"select pg_cancel_backend(pid) from unnest(array{pids}) as pid")
            pids = wait_for_waiting(pair, others_than=pids)
        errors = [event["error"] for event in service.ingest.events("write_retried")]
        assert any("COMMIT warned" in error for error in errors)
        # Frozen and killed, the standby has nothing of it, not even in its sockets.
        pair.standby.kill()
        pair.primary.kill()
        pair.standby.start()
        pair.promote()
        prove_what_is_acknowledged(service)
        pair.rebuild()
        load.wait_for_more()
    prove(service, load)
    read_back(service, load)
    assert service.ingest.events("database_went_back") == []


def wait_for_waiting(pair: Pair, others_than: Sequence[int] = ()) -> list[int]:
    """The sessions of ingest whose commit waits for the standby, as soon as there is one besides those."""

    def find() -> list[int]:
        pids = pair.primary.value(
            "select array_agg(pid) from pg_stat_activity"
            " where wait_event = 'SyncRep' and application_name like 'orderkeep ingest%'"
        )
        return [pid for pid in pids or [] if pid not in others_than]

    pids: list[int] = wait_until(find, "a commit waits for the standby")
    return pids


def prove_what_is_acknowledged(service: Service) -> None:
    """Each message that the group has acknowledged has its outcome on the primary of this moment."""
    assert service.audit()["missing"] == 0
