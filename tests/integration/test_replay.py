"""Replays of rejects on real servers: what is an order now is stored once, however often and cut off."""

import signal
from pathlib import Path

import httpx
import pytest

from tests.conftest import Database
from tests.orders import order
from tests.service import Process, Service, wait_until

from .conftest import MakeService
from .reject_scene import answer, audited


def set_aside(database: Database) -> int:
    """Make rejects of all stored orders, as if the database had refused them: how many."""
    database.execute(
        "insert into rejected_messages"
        " (source, partition, position, payload, sha256, kind, reason, order_uid)"
        " select source, partition, position, bytes, sha256(bytes), 'database', 'because', order_uid"
        " from orders, convert_to(payload::text, 'UTF8') as bytes;"
        "delete from orders"
    )
    return int(database.value("select count(*) from rejected_messages"))


def waiting_service(make_service: MakeService, count: int) -> Service:
    """A service that has stored so many orders without keys, whose ingest is stopped."""
    service = make_service()
    service.start_ingest()
    service.send([order(f"uid-{number}") for number in range(count)], partition=1)
    service.wait_until_acknowledged()
    service.ingest.stop()
    return service


def test_replay_stores(make_service: MakeService, database: Database) -> None:
    """What is an order now is stored by its replay, and served; to repeat it stores nothing twice."""
    service = waiting_service(make_service, 12)
    assert set_aside(database) == 12
    # The same order came again and was stored from there, and another one took the uid of a third.
    service.start_ingest()
    service.send([order("uid-1"), order("uid-2", locale="other")], partition=1)
    service.wait_until_acknowledged()
    service.start_api()
    progress = database.fetch("select * from progress order by 1, 2, 3, 4")
    assert audited(service) == {"stored": 2, "duplicate": 0, "rejected": 12, "conflict": 0}
    first = answer(service, "list")[-1]["id"]
    assert answer(service, "replay", str(first), str(first))["outcomes"] == {"stored": 1, "redelivered": 1}
    assert audited(service) == {"stored": 3, "duplicate": 0, "rejected": 11, "conflict": 0}
    counts = {"duplicate": 1, "conflict": 1, "stored": 9, "redelivered": 1}
    for again in (counts, {"duplicate": 1, "conflict": 1, "redelivered": 10}):
        report = answer(service, "replay", "--all", "--kind", "database", "--since", "1h")
        assert (report["replayed"], report["outcomes"]) == (12, again)
        assert audited(service) == {"stored": 12, "duplicate": 1, "rejected": 0, "conflict": 1}
    assert database.value("select count(*) from rejected_messages") == 12
    assert database.fetch("select * from progress order by 1, 2, 3, 4") == progress
    for number in (0, 1, 11):
        found = httpx.get(f"{service.url}/orders/uid-{number}")
        assert found.content == order(f"uid-{number}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_replay_that_is_cut_off(
    make_service: MakeService, database: Database, tmp_path: Path, number: signal.Signals
) -> None:
    """A replay may end in the middle, in order or not: the audit is clean at once, the next does the rest."""
    service = waiting_service(make_service, 1_500)
    set_aside(database)
    replaying = Process(tmp_path, "replay", ["rejects", "replay", "--all"], service.env)
    replaying.launch()
    wait_until(lambda: database.value("select count(*) from orders") > 5, "orders are stored again")
    replaying.send_signal(number)
    assert replaying.wait() == (-number if number == signal.SIGKILL else 130)
    if number == signal.SIGINT:
        assert "replayed: stored" in replaying.output()
    stored = database.value("select count(*) from orders")
    assert 0 < stored < 1_500
    assert audited(service) == {"stored": stored, "duplicate": 0, "rejected": 1_500 - stored, "conflict": 0}
    outcomes = answer(service, "replay", "--all")["outcomes"]
    assert outcomes == {"stored": 1_500 - stored, "redelivered": stored}
    assert audited(service) == {"stored": 1_500, "duplicate": 0, "rejected": 0, "conflict": 0}
