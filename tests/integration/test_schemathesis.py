"""The whole description of the API, tried by schemathesis against the real server.

`ORDERKEEP_TEST_FUZZ=long` tries fifty times as many requests.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks

from orderkeep.embedded import PostgresServer
from tests.conftest import Database, drop_database, make_database
from tests.fuzz.examples import examples
from tests.service import Service

from .api_scene import ORDERS, api_only, store, wait_until_cached

load_all_checks()


@pytest.fixture(scope="module")
def database(migrated: PostgresServer) -> Iterator[Database]:
    made = make_database(migrated)
    yield made
    drop_database(made)


@pytest.fixture(scope="module")
def service(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    asyncio.run(store(database, [*ORDERS.values(), b"garbage", None, b"\xff"]))
    service = api_only(tmp_path_factory.mktemp("schemathesis"), database)
    service.start_api()
    wait_until_cached(service, len(ORDERS))
    yield service
    assert service.api.stop() == 0
    assert not service.api.events("request_failed")
    assert "Traceback" not in service.api.output()


@pytest.fixture(scope="module")
def description(service: Service) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


OPERATIONS = [
    "GET /orders/{uid}",
    "HEAD /orders/{uid}",
    "GET /order/{uid}",
    "HEAD /order/{uid}",
    "GET /order/order",
    "HEAD /order/order",
    "GET /orders/{uid}/origin",
    "GET /orders",
    "POST /orders",
    "GET /rejects",
    "GET /rejects/{reject_id}",
    "POST /rejects/{reject_id}/replay",
    "GET /health/live",
    "GET /health/ready",
    "GET /state",
    "GET /metrics",
]
ENDLESS = "GET /events"
"""What has no end cannot be read to its end; its parameters are tried in `test_http_events.py`."""
BEYOND = ("GET /rejects", "GET /orders", "POST /orders")


def test_all_are_tried(description: schemathesis.BaseSchema) -> None:
    """The list of operations is that of the description."""
    found: list[Any] = list(description.get_all_operations())
    assert {each.ok().label for each in found} == {*OPERATIONS, ENDLESS}


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=str)
def test_as_described(
    description: schemathesis.BaseSchema, label: str, mode: schemathesis.GenerationMode
) -> None:
    """Whatever is asked, right or wrong, is answered as the description says, and never with a mistake."""
    operation = description.find_operation_by_label(label)
    assert operation
    # What a description cannot say: which texts are points in time, which filters go together, and that no
    # string of an order holds NUL.
    beyond: list[Any] = [CHECKS.get_one("positive_data_acceptance")] if label in BEYOND else []

    @settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(excluded_checks=beyond)

    try:
        ask()
    except Unsatisfiable:
        assert mode == schemathesis.GenerationMode.NEGATIVE  # where nothing is asked, nothing can be wrong
        assert label in ("GET /health/live", "GET /health/ready", "GET /state", "GET /metrics")
