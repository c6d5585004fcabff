"""Searching the list of orders over HTTP: every filter, page by page, and what cannot be asked."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orderkeep.embedded import PostgresServer
from tests.conftest import Database, drop_database, make_database
from tests.orders import order
from tests.service import Service

from .api_scene import api_only, store

CUSTOMERS = ["a&b=c", "Ж #1", ""]
DAYS = 6


@pytest.fixture(scope="module")
def database(migrated: PostgresServer) -> Iterator[Database]:
    """Orders of some customers and days, in batches; they were created in another order than received."""
    made = make_database(migrated)
    for batch in range(3):
        payloads = [
            order(
                f"{'odd' if number % 2 else 'even'}-{number:02}",
                track_number=f"track {number % 3}",
                customer_id=CUSTOMERS[number % len(CUSTOMERS)],
                date_created=f"2026-11-{20 - number % DAYS:02}T12:00:00+03:00",
            )
            for number in range(batch * 8, batch * 8 + 8)
        ]
        asyncio.run(store(made, payloads, first=batch * 100))
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def service(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = api_only(tmp_path_factory.mktemp("search"), database)
    service.start_api()
    yield service
    service.stop()
    assert not service.api.events("request_failed")


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def walk(client: httpx.Client, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """All lines of a list, by its links; `next` leads to the same pages."""
    lines: list[dict[str, Any]] = []
    answer = client.get("/orders", params=parameters)
    while True:
        assert answer.status_code == 200, answer.text
        page = answer.json()
        lines += page["orders"]
        if page["next"] is None:
            assert "next" not in answer.links
            return lines
        following = client.get(answer.links["next"]["url"])
        assert following.json() == client.get("/orders", params={**parameters, "after": page["next"]}).json()
        answer = following


FILTERS: dict[str, tuple[dict[str, Any], Any]] = {
    "track number": ({"track_number": "track 1"}, lambda line: line["track_number"] == "track 1"),
    "letters of a URL": ({"customer_id": "a&b=c"}, lambda line: line["customer_id"] == "a&b=c"),
    "other letters": ({"customer_id": "Ж #1"}, lambda line: line["customer_id"] == "Ж #1"),
    "without a customer": ({"customer_id": ""}, lambda line: not line["customer_id"]),
    "lately": ({"since": "1h"}, lambda _: True),
    "long ago": ({"until": "2020-01-01"}, lambda _: False),
    "a day's": (
        {"by": "date_created", "since": "2026-11-17", "until": "2026-11-18T00:00+00:00"},
        lambda line: line["date_created"].startswith("2026-11-17"),
    ),
    "by the day": ({"by": "date_created"}, lambda _: True),
    "a customer's, lately": (
        {"customer_id": "Ж #1", "since": "1d", "until": "2100-01-01"},
        lambda line: line["customer_id"] == "Ж #1",
    ),
    "a prefix": ({"uid_prefix": "even-1"}, lambda line: line["order_uid"].startswith("even-1")),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(client: httpx.Client, name: str) -> None:
    """A filter is answered with the orders that agree, once each and sorted, and its links keep it."""
    parameters, agrees = FILTERS[name]
    expected = [line for line in walk(client, {"limit": 500}) if agrees(line)]
    by = parameters.get("by", "received_at")
    if "uid_prefix" in parameters:
        expected.sort(key=lambda line: line["order_uid"])
    else:
        expected.sort(key=lambda line: (line[by], line["received_at"], line["order_uid"]), reverse=True)
    assert walk(client, parameters | {"limit": 3}) == expected
    assert walk(client, parameters | {"limit": 500}) == expected
    assert bool(expected) is (name != "long ago")


def test_a_batch_of_lately(client: httpx.Client) -> None:
    """A range of the time of receiving may be given as exactly as the list shows it."""
    lines = walk(client, {"limit": 500})
    oldest, middle, newest = sorted({line["received_at"] for line in lines})
    found = walk(client, {"since": middle, "until": newest, "limit": 3})
    assert found == [line for line in lines if line["received_at"] == middle]
    assert walk(client, {"until": oldest}) == []


WRONG = {
    "uid_prefix": ["", "a b", "é", "a\n", "u" * 129],
    "track_number": ["\0", "t" * 257],
    "customer_id": ["a\0b", "c" * 257],
    "since": ["", "yesterday", "1w", "2026-13-01", "9" * 65],
    "until": ["x", "25:00"],
    "by": ["", "order_uid", "received_at "],
    "limit": ["0", "501", "x", ""],
    "after": ["", "x", "1.", "1.2.3.4 ", "-1.a", "." * 2, "1.\0"],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(client: httpx.Client, name: str) -> None:
    """A parameter that cannot be is refused by its name."""
    for value in WRONG[name]:
        check_wrong(client.get("/orders", params={name: value}), name)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("track_number", {"uid_prefix": "a", "track_number": "b"}),
        ("since", {"uid_prefix": "a", "since": "1h"}),
        ("by", {"customer_id": "a", "by": "date_created"}),
        ("after", {"uid_prefix": "a", "after": "a b"}),
        ("after", {"by": "date_created", "after": "1.a"}),
    ],
)
def test_not_together(client: httpx.Client, name: str, parameters: dict[str, str]) -> None:
    """What no index answers together is refused, and so is the end of a page of another list."""
    check_wrong(client.get("/orders", params=parameters), name)


def check_wrong(answer: httpx.Response, name: str) -> None:
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["detail"].startswith(f"{name}: "), answer.text
