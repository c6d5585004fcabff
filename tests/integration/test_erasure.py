"""Erasure on real servers: every process forgets the order, whatever brings it again, and the audit knows."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from valkey import Valkey

from orderkeep.embedded import RedisServer
from tests.conftest import Database
from tests.orders import order
from tests.service import Service, wait_until

from .api_scene import api_only
from .conftest import MakeService

MINE, OTHERS = order("mine", customer_id="me"), order("others")
CONFLICT, SPOILT = order("mine", locale="other"), MINE.replace(b'"payment"', b'"paid"')


@pytest.fixture
def services(
    make_service: MakeService, database: Database, redis: RedisServer, tmp_path: Path
) -> Iterator[tuple[Service, Service]]:
    """Ingest and two API processes that share Redis."""
    env = {
        "ORDERKEEP_CACHE": "both",
        "ORDERKEEP_REDIS_URL": redis.url,
        "ORDERKEEP_REDIS_PREFIX": database.name,
        "ORDERKEEP_DATABASE_MIGRATE_URL": database.owner_url,
    }
    with ExitStack() as cleanup:
        (tmp_path / "other").mkdir()
        other = api_only(tmp_path / "other", database, env)
        cleanup.callback(other.stop)
        service = make_service(env=env)
        service.start()
        other.start_api()
        yield service, other


def statuses(services: tuple[Service, ...], uid: str) -> set[int]:
    """What each process answers, asked twice on one connection, as by the fast lane."""
    found = set()
    for service in services:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            found |= {client.get(f"/orders/{uid}").status_code for _ in range(3)}
    return found


def test_erasure(services: tuple[Service, Service], redis: RedisServer, database: Database) -> None:
    """An erased order is 410 in every process, also after a restart, and is stored by no way again."""
    service, other = services
    service.send([MINE, OTHERS, CONFLICT, SPOILT], partition=0)
    service.wait_until_acknowledged()
    wait_until(lambda: statuses(services, "mine") == {200}, "all have it")

    asked = service.command("erase", "--uid", "mine")
    assert (asked.returncode, asked.stdout.splitlines()[-1]) == (
        0,
        "nothing was changed: to do it, add --yes",
    )
    assert statuses(services, "mine") == {200}
    done = service.command("erase", "--uid", "mine", "--reason", "ticket 7", "--yes", "--json")
    report = json.loads(done.stdout)
    assert (report["done"], report["orders"], len(report["rejects"])) == (True, ["mine"], 2), done.stderr

    wait_until(lambda: statuses(services, "mine") == {410}, "all have forgotten it")
    assert statuses(services, "others") == {200}
    answer = httpx.get(f"{service.url}/orders/mine")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert httpx.head(f"{service.url}/order/mine").status_code == 410
    listed = httpx.get(f"{service.url}/orders", params={"customer_id": "me"}).json()
    assert listed["orders"] == []
    posted = httpx.post(f"{other.url}/orders", content=MINE, headers={"content-type": "application/json"})
    assert posted.status_code == 410
    with Valkey(host=redis.host, port=redis.port) as client:
        wait_until(lambda: not list(client.scan_iter(f"{database.name}:*:mine")), "Redis has forgotten it")

    service.send([MINE, CONFLICT, order("later")], partition=1)
    service.wait_until_acknowledged()
    service.api.stop()
    service.start_api()
    assert statuses(services, "mine") == {410}
    audited = service.audit()
    assert audited["exit_code"] == 0, audited["problems"]
    counts = {
        name: audited[name] for name in ("messages", "stored", "erased", "rejected", "missing", "extra")
    }
    assert counts == {"messages": 7, "stored": 2, "erased": 4, "rejected": 1, "missing": 0, "extra": 0}
    assert any(event["count"] == 1 for event in other.api.events("orders_erased"))
    held = "select count(*) from rejected_messages where payload is not null or key is not null"
    assert database.value(held) == 0

    # What `--list` prints is what `--file` takes, for a database that has not heard of it.
    kept = service.command("erase", "--list").stdout
    assert kept.split("\t")[::2] == ["mine", "ticket 7\n"]
    (service.folder / "erased.txt").write_text(kept + "not-yet\n")
    again = service.command("erase", "--file", "erased.txt", "--yes")
    assert again.returncode == 0, again.stderr
    assert "order not-yet: not stored, kept away" in again.stdout
    assert "order mine: erased before" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--uid", "unknown", "--yes"], 1, "order unknown: there is none"),
        ([], 2, "give --uid"),
        (["--uid", "no uid"], 2, "is no uid"),
    ],
)
def test_what_is_refused(
    database: Database, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    """What cannot be meant is said in a line, and nothing is erased."""
    service = api_only(tmp_path, database, {"ORDERKEEP_DATABASE_MIGRATE_URL": database.owner_url})
    done = service.command("erase", *arguments)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == (code == 2)
    assert database.value("select count(*) from erased_orders") == 0
