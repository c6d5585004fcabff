"""The API restarts, its memory is small, the database is another: what is served stays the same."""

from functools import partial

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from orderkeep.publish.generate import OrderGenerator
from tests.conftest import Database
from tests.service import Service, wait_until

from .conftest import MakeService
from .load import Load, prove, read_back, wait_for_commits

TABLES = ("orders", "rejected_messages", "replays", "progress")


def orders(count: int, seed: int = 1) -> dict[str, bytes]:
    """So many different orders, by uid, in the order in which they are made."""
    maker = OrderGenerator(seed)
    made = [maker.order() for _ in range(count)]
    return {str(message.uid): bytes(message.payload or b"") for message in made}


def metric(service: Service, name: str) -> float:
    """The value of a metric without labels."""
    text = httpx.get(f"{service.url}/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return next(sample.value for sample in samples if sample.name == name)


def wait_until_cached(service: Service, count: int) -> None:
    wait_until(lambda: metric(service, "orderkeep_cache_entries") == count, f"{count} orders are in memory")


def wait_until_restored(service: Service) -> None:
    service.api.wait_for("cache_restored")


def where_from(service: Service, client: httpx.Client, uid: str, payload: bytes) -> str:
    """`hit` or `miss`, of an order that is served as it was sent."""
    answer = client.get(f"{service.url}/orders/{uid}")
    assert (answer.status_code, answer.content) == (200, payload)
    return answer.headers["x-orderkeep-cache"]


def test_restored_after_a_crash(own_service: Service) -> None:
    """After a restart, and after a crash, what was stored is in memory again, byte for byte."""
    sent = orders(300)
    own_service.start()
    own_service.publish(list(sent.values()))
    for end in (own_service.api.stop, own_service.api.kill):
        end()
        own_service.start_api()
        wait_until_restored(own_service)
        ready = httpx.get(f"{own_service.url}/health/ready").json()
        assert ready["restore"]["restored"] == metric(own_service, "orderkeep_cache_restored_orders") == 300
        with httpx.Client() as client:
            found = {where_from(own_service, client, uid, payload) for uid, payload in sent.items()}
        assert found == {"hit"}


GATE = """
create table gate (opened boolean);
grant select on gate to public;
create function pass() returns boolean language plpgsql volatile as $$
begin
    while current_setting('application_name') = 'orderkeep restore' and not exists (select from gate) loop
        perform pg_sleep(0.02);
    end loop;
    return true;
end
$$;
alter table orders enable row level security;
create policy gated on orders for select using (pass());
"""
"""Keeps the restore, and nobody else, waiting until there is a row in the gate."""


def test_serves_while_it_restores(own_service: Service, database: Database) -> None:
    """During the restore every order is served from the database, and new ones are taken up."""
    sent = orders(50)
    *earlier, (last_uid, last) = sent.items()
    own_service.start()
    own_service.publish([payload for _, payload in earlier])
    own_service.stop()
    database.execute(GATE)

    own_service.start_api()
    with httpx.Client() as client:
        assert httpx.get(f"{own_service.url}/health/ready").json()["restore"]["restoring"]
        for uid, payload in earlier[:10]:
            assert where_from(own_service, client, uid, payload) == "miss"
            assert where_from(own_service, client, uid, payload) == "hit"
        wait_until(lambda: metric(own_service, "orderkeep_cache_following"), "the API follows")
        database.execute(
            "insert into orders (order_uid, track_number, customer_id, date_created, payload, source)"
            " values ($1, 't', 'c', now(), $2, 1)",
            *(last_uid, last.decode()),
        )
        database.execute("select pg_notify('orderkeep_orders', $1)", last_uid)
        wait_until_cached(own_service, 11)
        assert where_from(own_service, client, last_uid, last) == "hit"
        database.execute("insert into gate values (true)")
        wait_until_restored(own_service)
        wait_until_cached(own_service, 50)
        assert {where_from(own_service, client, *each) for each in sent.items()} == {"hit"}


def test_new_orders_are_in_memory_before_anyone_asks(own_service: Service) -> None:
    """What ingest stores reaches the memory of the API by itself: the very first GET is a hit."""
    sent = orders(100)
    own_service.start()
    own_service.send(list(sent.values()))
    wait_until_cached(own_service, 100)
    with httpx.Client() as client:
        assert {where_from(own_service, client, *each) for each in sent.items()} == {"hit"}


def test_holds_the_newest(make_service: MakeService) -> None:
    """With CACHE_MAX_ORDERS=100 exactly the newest 100 are in memory: as they arrive, and after a restart."""
    service = make_service(env={"ORDERKEEP_CACHE_MAX_ORDERS": "100"})
    groups = [orders(50, seed) for seed in range(6)]
    service.start()

    def publish(group: dict[str, bytes]) -> None:
        service.send(list(group.values()))
        service.wait_until_acknowledged()
        wait_until(lambda: hits(service, group) == 50, "the newest are in memory")

    def check(newest: int) -> None:
        found = [hits(service, group) for group in groups[: newest + 1]]
        assert found == [0] * (newest - 1) + [50, 50]
        assert metric(service, "orderkeep_cache_entries") == 100

    for number, group in enumerate(groups[:4]):
        publish(group)
        if number > 0:
            check(number)
    service.api.stop()
    service.start_api()
    wait_until_restored(service)
    check(3)
    for number in (4, 5):
        publish(groups[number])
        check(number)


def hits(service: Service, group: dict[str, bytes]) -> int:
    """How many of them are in memory."""
    with httpx.Client() as client:
        return sum(where_from(service, client, *each) == "hit" for each in group.items())


@pytest.mark.parametrize("limit", [0, 20_000])
def test_small_memory(make_service: MakeService, limit: int) -> None:
    """With hardly any memory, or none, every order is served all the same, and the bound is kept."""
    service = make_service(env={"ORDERKEEP_CACHE_MAX_BYTES": str(limit)})
    sent = orders(100)
    service.start()
    service.publish(list(sent.values()))
    for restart in (False, True):
        if restart:
            service.api.stop()
            service.start_api()
            wait_until_restored(service)
        with httpx.Client() as client:
            for uid, payload in sent.items():
                where_from(service, client, uid, payload)
        assert metric(service, "orderkeep_cache_bytes") <= limit
        assert (metric(service, "orderkeep_cache_entries") > 0) == (limit > 0)


@pytest.mark.parametrize("how_old", ["some hours", "empty"])
def test_database_older_than_the_offsets(own_service: Service, database: Database, how_old: str) -> None:
    """A database brought back from a backup misses what was acknowledged since: it is read again."""
    own_service.start_ingest()
    with Load(own_service, bad=0.1, rate=2_000) as before:
        before.wait_for_more(300)
    own_service.wait_until_acknowledged()
    for table in TABLES if how_old == "some hours" else ():
        database.execute(f"create table backup_{table} as table {table}")
    with Load(own_service, bad=0.1, rate=2_000, seed=2) as since:
        since.wait_for_more(300)
    prove(own_service, before, since)
    own_service.ingest.stop()

    database.execute(f"truncate {', '.join(TABLES)}")
    for table in TABLES if how_old == "some hours" else ():
        database.execute(f"insert into {table} overriding system value table backup_{table}")
    assert own_service.audit()["missing"] > 0

    own_service.start()
    stored = before.expected["stored"] + since.expected["stored"]
    wait_until(lambda: database.value("select count(*) from orders") == stored, "every order is back")
    own_service.ingest.stop()  # in order, so that the rejects of the last batch are there too
    prove(own_service, before, since)
    read_back(own_service, before)
    read_back(own_service, since)


def test_database_brought_back_under_load(own_service: Service, database: Database) -> None:
    """Brought back while ingest runs, the database lacks what it had confirmed: ingest reads it again."""
    own_service.start()
    pid = own_service.ingest.pid
    with Load(own_service, bad=0.1) as load:
        for times in (1, 2):
            wait_for_commits(own_service.ingest)
            # One transaction, whose locks let nobody write between the loss and the end of the connections.
            database.server.execute(
                f"truncate {', '.join(TABLES)};"
                "select pg_terminate_backend(pid) from pg_stat_activity"
                f" where datname = '{database.name}' and pid <> pg_backend_pid()",
                database.name,
            )
            noticed = partial(own_service.ingest.events, "database_went_back")
            wait_until(lambda: len(noticed()) == times, "ingest notices")  # noqa: B023 - called within the turn
        wait_for_commits(own_service.ingest)
    wait_until(
        lambda: database.value("select count(*) from orders") == load.expected["stored"], "all is back"
    )
    prove(own_service, load)
    read_back(own_service, load)
    assert own_service.ingest.pid == pid
