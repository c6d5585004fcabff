"""What the page asks beside the orders: where one came from, and the state of the whole service."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orderkeep.embedded.ports import choose
from tests.orders import order
from tests.service import PATIENCE, Service, wait_until

from .conftest import MakeService


@pytest.fixture
def client(make_service: MakeService) -> Iterator[tuple[Service, httpx.Client]]:
    service = make_service(env={"ORDERKEEP_INGEST_PORT": str(choose(None, "ingest"))})
    service.start()
    with httpx.Client(base_url=service.url, timeout=PATIENCE) as client:
        yield service, client


def state_of(client: httpx.Client) -> Any:
    answer = client.get("/state")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def test_origin(client: tuple[Service, httpx.Client]) -> None:
    """An order says from which message it was received; one that was posted, that there was none."""
    service, http = client
    service.send([order("first")], partition=2)
    service.publish([order("second")])
    found = http.get("/orders/first/origin")
    assert found.headers["cache-control"] == "no-store"
    assert {
        name: found.json()[name] for name in ("order_uid", "source", "topic", "partition", "position")
    } == {
        "order_uid": "first",
        "source": "kafka",
        "topic": service.topic,
        "partition": 2,
        "position": 0,
    }
    listed = {one["order_uid"]: one["received_at"] for one in http.get("/orders").json()["orders"]}
    assert found.json()["received_at"] == listed["first"]
    headers = {"content-type": "application/json"}
    assert http.post("/orders", content=order("posted"), headers=headers).status_code == 201
    posted = http.get("/orders/posted/origin").json()
    assert (posted["source"], posted["partition"], posted["position"]) == ("http", None, None)
    assert http.get("/orders/nothing/origin").status_code == 404
    assert http.get("/orders/%20/origin").status_code == 404


def test_state(client: tuple[Service, httpx.Client]) -> None:
    """The state has what health says, what was read from where, what ingest says, and masked settings."""
    service, http = client
    service.publish([order("a"), b"garbage"])
    service.wait_until_acknowledged()
    before = state_of(http)["reads"]
    http.get("/orders/a")
    reads = state_of(http)["reads"]
    assert reads["fast_lane"] + reads["cache"] == before["fast_lane"] + before["cache"] + 1
    state = wait_until(lambda: (found := state_of(http))["health"]["status"] == "ok" and found, "all is well")
    assert state["health"].keys() == http.get("/health/ready").json().keys()
    (ingest,) = state["ingest_processes"]
    assert ingest["status"]["outcomes"] == {"stored": 1, "rejected": 1}
    assert ingest["status"]["commit_delay"]["p50"] <= ingest["status"]["commit_delay"]["p99"]
    assert ingest["status"]["batch_write"]["p50"] > 0
    settings = {one["name"]: one for one in state["settings"]}
    assert "***" in settings["ORDERKEEP_DATABASE_URL"]["value"]
    assert settings["ORDERKEEP_KAFKA_TOPIC"] == {
        "name": "ORDERKEEP_KAFKA_TOPIC",
        "value": service.topic,
        "changed": True,
    }
    assert settings["ORDERKEEP_LOG_LEVEL"]["changed"] is False
    assert "secret" not in json.dumps(state)


def test_state_without_ingest(client: tuple[Service, httpx.Client]) -> None:
    """An ingest that does not answer is said not to, and asked again the next time."""
    service, http = client
    service.ingest.stop()
    (ingest,) = state_of(http)["ingest_processes"]
    assert ingest["status"] is None
    assert "does not answer" in ingest["detail"]
    service.start_ingest()
    (ingest,) = state_of(http)["ingest_processes"]
    assert ingest["status"]["consumed"] == 0
