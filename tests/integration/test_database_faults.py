"""PostgreSQL goes away in every way it can, under load: nothing is lost, and nobody has to help."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.embedded import PostgresServer
from orderkeep.storage.migrate import migrate
from tests.conftest import (
    INGEST,
    OWNER,
    PASSWORD,
    READER,
    TEMPLATE,
    Database,
    drop_database,
    make_database,
    start_or_skip,
)
from tests.service import Service, wait_until

from .audit_scene import order
from .conftest import MakeService
from .event_scene import EventClient
from .load import Load, prove, read_back, status, wait_for_commits

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def mortal(servers_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL of these tests' own, to be killed, with users and the template of databases."""
    server = PostgresServer(servers_folder / "mortal", settings={"fsync": "off"})
    start_or_skip(server)
    server.create_user(OWNER, PASSWORD, createrole=True)
    server.create_database(TEMPLATE, OWNER)
    asyncio.run(migrate(server.url(OWNER, database=TEMPLATE)))
    server.create_user(INGEST, PASSWORD, in_role="orderkeep_ingest")
    server.create_user(READER, PASSWORD, in_role="orderkeep_reader")
    yield server
    server.stop("immediate")


@pytest.fixture
def database(mortal: PostgresServer) -> Iterator[Database]:
    mortal.start()
    made = make_database(mortal)
    yield made
    mortal.start()
    drop_database(made)


def is_ready(service: Service) -> bool:
    return bool(httpx.get(f"{service.url}/health/ready").json()["status"] == "ok")


def wait_until_unavailable(service: Service) -> None:
    """Wait until a read that needs the database is answered with 503."""
    wait_until(
        lambda: httpx.get(f"{service.url}/orders/not-in-memory", timeout=60).status_code == 503,
        "the API notices",
    )


def check_degraded(service: Service, known: bytes) -> None:
    """Without its database the API answers what it has in memory, and says what it cannot do."""
    hit = httpx.get(f"{service.url}/orders/known")
    assert (hit.status_code, hit.content, hit.headers["x-orderkeep-cache"]) == (200, known, "hit")
    miss = httpx.get(f"{service.url}/orders/not-in-memory", timeout=60)
    assert miss.status_code == 503
    assert int(miss.headers["retry-after"]) >= 1
    assert miss.headers["content-type"] == "application/problem+json"
    assert miss.headers["cache-control"] == "no-store"
    ready = httpx.get(f"{service.url}/health/ready", timeout=60)
    assert ready.status_code == 200
    assert ready.json()["status"] == "degraded"
    assert ready.json()["database"]["status"] == "unavailable"
    assert httpx.get(f"{service.url}/health/live").json() == {"status": "ok"}
    assert httpx.get(f"{service.url}/orders", timeout=60).status_code == 503


def check_recovered(service: Service) -> None:
    """Without help, the API is ready again, and a new order is in memory before anyone asks."""
    wait_until(lambda: is_ready(service), "the API is ready again")
    before = cached(service)
    service.send([order("after-the-outage")])
    wait_until(lambda: cached(service) > before, "the new order reaches the memory")
    answer = httpx.get(f"{service.url}/orders/after-the-outage")
    assert (answer.content, answer.headers["x-orderkeep-cache"]) == (order("after-the-outage"), "hit")


def cached(service: Service) -> int:
    return int(httpx.get(f"{service.url}/health/ready").json()["cache"]["entries"])


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_away_for_a_while(own_service: Service, mortal: PostgresServer, kill: bool) -> None:
    """Stopped or killed under load, the database is waited for: hits are served, misses get 503."""
    own_service.start()
    own_service.publish([order("known")])
    wait_until(lambda: is_ready(own_service), "the cache follows")
    pids = own_service.ingest.pid, own_service.api.pid
    with Load(own_service) as load:
        for _ in range(2):
            wait_for_commits(own_service.ingest)
            if kill:
                mortal.kill()
            else:
                mortal.stop()
            wait_until_unavailable(own_service)
            check_degraded(own_service, order("known"))
            wait_until(lambda: status(own_service.ingest)["trouble"], "ingest says what it waits for")
            load.wait_for_more()
            mortal.start()
            wait_for_commits(own_service.ingest)
            wait_until(lambda: status(own_service.ingest)["trouble"] is None, "ingest is well again")
    load.expected["stored"] += 1
    load.delivered += 1  # the order that was there before
    prove(own_service, load)
    check_recovered(own_service)
    read_back(own_service, load)
    assert (own_service.ingest.pid, own_service.api.pid) == pids


def test_events_are_told_nevertheless(
    own_service: Service, database: Database, mortal: PostgresServer
) -> None:
    """Over restarts of the database every order and every reject is told to whoever comes back."""
    own_service.start()
    wait_until(lambda: is_ready(own_service), "the cache follows")
    with EventClient(own_service, limit=1_000) as client:
        with Load(own_service, bad=0.2, rate=20) as load:
            for end in (mortal.stop, mortal.kill):
                wait_for_commits(own_service.ingest)
                end()
                wait_until_unavailable(own_service)
                load.wait_for_more(20)
                mortal.start()
            wait_for_commits(own_service.ingest)
        own_service.wait_until_acknowledged()
        stored = {row["order_uid"] for row in database.fetch("select order_uid from orders")}
        rejected = {row["id"] for row in database.fetch("select id from rejected_messages")}
        client.wait_until(lambda: stored <= set(client.heard()), "every order is told")
        client.wait_until(lambda: rejected <= set(client.heard("rejected")), "every reject is told")
    assert (set(client.heard()), set(client.heard("rejected"))) == (stored, rejected)
    assert client.skipped == 0
    assert client.streams > 2


def test_frozen(own_service: Service, mortal: PostgresServer) -> None:
    """A database that keeps its connections and answers nothing is waited for like one that is away."""
    own_service.start()
    own_service.publish([order("known")])
    wait_until(lambda: is_ready(own_service), "the cache follows")
    pid = own_service.ingest.pid
    with Load(own_service) as load:
        wait_for_commits(own_service.ingest)
        mortal.pause()
        try:
            wait_until_unavailable(own_service)
            assert httpx.get(f"{own_service.url}/orders/known").headers["x-orderkeep-cache"] == "hit"
            assert not is_ready(own_service)
        finally:
            mortal.resume()
        wait_for_commits(own_service.ingest)
    load.expected["stored"] += 1
    load.delivered += 1
    prove(own_service, load)
    check_recovered(own_service)
    assert own_service.ingest.pid == pid


def test_connections_taken_away(own_service: Service, database: Database) -> None:
    """Connections ended by an administrator, again and again under load, are made anew; nothing is lost."""
    own_service.start()
    pid = own_service.ingest.pid
    with Load(own_service) as load:
        for _ in range(8):
            wait_for_commits(own_service.ingest, 50)
            database.server.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                f" where datname = '{database.name}' and pid <> pg_backend_pid()"
            )
        wait_for_commits(own_service.ingest)
    prove(own_service, load)
    check_recovered(own_service)
    read_back(own_service, load)
    assert own_service.ingest.pid == pid


def test_stopped_while_the_database_is_away(make_service: MakeService, mortal: PostgresServer) -> None:
    """Asked to stop without a database, ingest gives up at its deadline; what it had comes again."""
    service = make_service(env={"ORDERKEEP_SHUTDOWN_SECONDS": "2"})
    service.start_ingest()
    with Load(service) as load:
        wait_for_commits(service.ingest)
        mortal.stop("immediate")
        service.ingest.wait_for("write_retried")
        load.wait_for_more()
        assert service.ingest.stop() == 0
        assert service.ingest.events("stopped")[0]["finished"] is False
        mortal.start()
        service.start_ingest()
        wait_for_commits(service.ingest)
    prove(service, load)


def test_started_before_the_database(own_service: Service, mortal: PostgresServer) -> None:
    """Ingest and the API wait at their start for a database that is just coming up."""
    with Load(own_service) as load:
        load.wait_for_more()
    mortal.stop()
    own_service.ingest.launch()
    own_service.api.launch()
    mortal.start()
    own_service.ingest.wait_for("started")
    own_service.url = own_service.api.wait_for("started")["address"]
    prove(own_service, load)
    check_recovered(own_service)
