"""Retention of rejects on real servers: what they held goes, and every message is still accounted for."""

import json
from pathlib import Path

import httpx
import pytest

from tests.conftest import Database
from tests.orders import order
from tests.service import wait_until

from .conftest import MakeService
from .load import status
from .reject_scene import KEPT, MESSAGES, answer, audited, printed

WHY = "ORDERKEEP_REJECTS_RETENTION_DAYS"


def test_retention(make_service: MakeService, database: Database, tmp_path: Path) -> None:
    """What is old is discarded, with the audit clean: it is listed, not replayed or exported, and known."""
    service = make_service(env={WHY: "30"})
    service.start()
    service.send([payload for payload, _ in MESSAGES], partition=1)
    service.wait_until_acknowledged()
    service.ingest.stop()
    before, outcomes = answer(service, "list"), audited(service)
    assert not any(one["discarded_at"] for one in before)
    database.execute("update rejected_messages set received_at = received_at - interval '31 days'")

    service.start_ingest()
    assert service.ingest.wait_for("rejects_discarded")["count"] == len(KEPT)
    service.send([b"younger"], partition=1)
    service.wait_until_acknowledged()
    younger, *old = answer(service, "list")
    lacks = ("size", "received_at", "discarded_at")
    assert [{**one, **dict.fromkeys(lacks)} for one in old] == [
        {**one, **dict.fromkeys(lacks)} for one in before
    ]
    assert all(one["discarded_at"] and one["size"] is None for one in old)
    assert not younger["discarded_at"]
    assert database.value("select count(*) from rejected_messages where payload is not null") == 1
    assert audited(service) == {**outcomes, "rejected": outcomes["rejected"] + 1}
    assert any(WHY in sentence and f" {len(KEPT)} " in sentence for sentence in service.audit()["unseen"])

    # Shown, replayed and exported.
    number = old[0]["id"]
    shown = httpx.get(f"{service.url}/rejects/{number}").json()
    assert shown == answer(service, "show", str(number))
    assert (shown["text"], shown["base64"], shown["key"], shown["headers"]) == (None, None, None, [])
    assert "discarded" in printed(service, "show", str(number))
    replayed = httpx.post(f"{service.url}/rejects/{number}/replay")
    assert (replayed.status_code, replayed.json()["outcome"]) == (200, "discarded")
    assert WHY in replayed.json()["detail"]
    assert WHY in printed(service, "replay", str(number))
    assert answer(service, "replay", "--all")["outcomes"] == {"discarded": len(KEPT), "rejected": 1}
    exported = service.command("rejects", "export", "--output", str(tmp_path / "rejects.jsonl"))
    assert f"1 rejects exported; {len(KEPT)} left out" in exported.stderr
    assert [json.loads(line)["text"] for line in (tmp_path / "rejects.jsonl").open()] == ["younger"]

    # The whole topic comes again.
    service.ingest.stop()
    database.execute("delete from progress")
    service.start_ingest()
    count = len(MESSAGES) + 1
    wait_until(lambda: sum(status(service.ingest)["outcomes"].values()) == count, "all came again")
    assert status(service.ingest)["outcomes"].keys() <= {"redelivered", "duplicate"}
    assert len(answer(service, "list")) == len(KEPT) + 1
    assert audited(service) == {**outcomes, "rejected": outcomes["rejected"] + 1}


@pytest.mark.parametrize("days", ["0", "30"])
def test_what_is_kept(make_service: MakeService, database: Database, days: str) -> None:
    """Nothing is discarded without the setting; where it cannot be done, ingest says so and goes on."""
    service = make_service(env={WHY: days})
    database.execute(
        "insert into sources (kind, topic, incarnation) values ('test', 'orders', 'first');"
        "insert into rejected_messages"
        " (source, partition, position, payload, sha256, kind, reason, received_at)"
        " select id, 0, 0, 'x', '', 'invalid', '', '2020-01-01' from sources;"
        "revoke update (payload) on rejected_messages from orderkeep_ingest"
    )
    service.start()
    if days != "0":
        assert "orderkeep_ingest" in service.ingest.wait_for("discard_failed")["error"]
    service.publish([order("a")])
    service.wait_until_acknowledged()
    service.ingest.stop()
    assert bool(service.ingest.events("discard_failed")) == (days != "0")
    assert database.value("select payload from rejected_messages") == b"x"
