"""The logs say what happened, in lines of JSON, and nothing of what an order says."""

import json
import random
from collections.abc import Iterator

import httpx
import pytest

from orderkeep.observe.events import EVENTS
from tests.conftest import Database
from tests.orders import document, order
from tests.service import Process, Service, wait_until

from .load import Load, prove, wait_for_commits

PERSONAL = ("name", "phone", "email", "address", "zip", "city", "region")
MARK = "Gwendolyn-Quux"
"""In every broken message: a name that no log may hold."""


def broken() -> Iterator[bytes]:
    """Messages that are refused for every reason, each with the mark where the reason is."""
    noise = random.Random(5)
    yield MARK.encode()
    yield b'{"order_uid": "%b' % MARK.encode()
    yield b'{"order_uid": "%b", "track_number": 1}' % MARK.encode()
    yield b'{"order_uid": "%b /", "track_number": "x"}' % MARK.encode()
    yield b'{"%b": "\\u0000"}' % MARK.encode()
    yield b'{"%b": "\xff"}' % MARK.encode()
    yield b'{"%b": %b}' % (MARK.encode(), b"[" * 1_000)
    yield b'{"date_created": "%b"}' % MARK.encode()
    yield MARK.encode() + noise.randbytes(100)


def marked(uid: str, **changes: str) -> bytes:
    """An order with the mark in every field that may tell who somebody is, and in one of the sender's own."""
    person = document()["delivery"]
    delivery = {field: f"{MARK} {field} +7 900 {MARK}@example.org" for field in person}
    return order(uid, delivery=delivery, customer_id=MARK, internal_signature=MARK, remark=MARK, **changes)


JSON = {"content-type": "application/json"}
POSTED = [
    MARK.encode(),
    marked("posted"),
    marked("posted", locale="other"),
    marked("refused", date_created=MARK),
]
"""What is no JSON, an order, another with its uid, and one that is wrong in a field."""


@pytest.fixture
def busy(own_service: Service, database: Database) -> tuple[Service, Load]:
    """A service that has met good orders, broken ones, conflicts, a lost database and odd requests."""
    disputed = [marked("marked"), marked("marked", locale="other"), marked("wrong", date_created=MARK)]
    own_service.env["ORDERKEEP_LOG_LEVEL"] = "debug"
    own_service.ingest.env["ORDERKEEP_LOG_LEVEL"] = own_service.api.env["ORDERKEEP_LOG_LEVEL"] = "debug"
    own_service.start()
    with Load(own_service, bad=0.3) as load:
        own_service.send([*broken(), *disputed])
        for _ in range(3):
            wait_for_commits(own_service.ingest, 50)
            database.server.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                f" where datname = '{database.name}' and pid <> pg_backend_pid()"
            )
        wait_for_commits(own_service.ingest)
    load.expected["rejected"] += len(list(broken())) + 1
    load.expected["stored"] += 1
    load.expected["conflict"] += 1
    load.delivered += len(list(broken())) + len(disputed)
    prove(own_service, load)
    with httpx.Client(base_url=own_service.url) as client:
        for uid in load.payloads:
            client.get(f"/orders/{uid}")
        client.get(f"/orders/{MARK}")
        client.get("/orders?after=x")
        client.post("/orders", content=b"{" + MARK.encode())
        statuses = [client.post("/orders", content=body, headers=JSON).status_code for body in POSTED]
        assert statuses == [422, 201, 409, 422]
        assert client.get("/orders", params={"customer_id": MARK}).status_code == 200
        for reject in client.get("/rejects", params={"limit": 5}).json()["rejects"]:
            client.post(f"/rejects/{reject['id']}/replay", headers=JSON)
    return own_service, load


def lines(process: Process) -> list[str]:
    return process.log.read_text().splitlines()


def test_logs(busy: tuple[Service, Load]) -> None:
    """Every line is a listed event; neither they nor the metrics hold anything personal."""
    service, load = busy
    health = service.ingest.events("started")[0]["health"]
    metrics = [httpx.get(f"{url}/metrics").text for url in (service.url, health)]
    pages = [httpx.get(f"{url}/health/ready").text for url in (service.url, health)]
    service.stop()
    for process in (service.ingest, service.api):
        events = [json.loads(line) for line in lines(process)]
        assert {event["event"] for event in events} <= set(EVENTS)
        assert {"started", "stopping", "stopped"} <= {event["event"] for event in events}
        for event in events:
            assert event["level"] in ("debug", "info", "warning", "error")
            assert event["timestamp"].endswith("Z")
    assert service.ingest.events("write_retried")
    assert service.ingest.events("messages_rejected")

    told = "\n".join([*lines(service.ingest), *lines(service.api), *metrics, *pages])
    assert MARK not in told
    for payload in load.undisputed.values():
        delivery = json.loads(payload)["delivery"]
        for field in PERSONAL:
            assert delivery[field] not in told, field
            assert json.dumps(delivery[field]).strip('"') not in told, field


def test_console_format(own_service: Service) -> None:
    """For people the same events are lines of text; the health page's address is among them."""
    own_service.env["ORDERKEEP_LOG_FORMAT"] = "console"
    process = own_service.another_ingest("console")
    process.launch()
    wait_until(lambda: "partitions_assigned" in process.output(), "it is at work")
    assert process.stop() == 0
    assert "stopped" in process.output()
    assert not any(line.startswith("{") for line in process.output().splitlines())
