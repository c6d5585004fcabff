"""The audit finds every outcome, and everything that is not one, on a real broker and database."""

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from confluent_kafka import Message

from orderkeep.audit import AuditReport, Problem
from orderkeep.embedded import KafkaServer

from .audit_scene import MOMENT, Database, Headers, Scene, opened, order, outcomes, send_with_raw_header

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def scene(kafka: KafkaServer, topic: str, database: Database) -> AsyncIterator[Scene]:
    async with opened(kafka, topic, database.url) as scene:
        yield scene


async def test_clean(scene: Scene) -> None:
    """A topic whose every message has its outcome passes, and each outcome is counted."""
    await scene.keep("a")
    scene.send(order("a"))  # duplicate
    position = scene.send(order("a", city="other bytes"), key=b"", headers=[("why", None)])
    await scene.reject(
        order("a", city="other bytes"), position, kind="conflict", key=b"", headers=[b"why", None]
    )
    await scene.reject(order("b"), scene.send(order("b")), kind="database")
    await scene.keep("c", partition=3)
    headers: Headers = [("naïve", b"\xff\x00"), ("null", None), ("empty", b"")]
    stored_headers = ["naïve".encode(), b"\xff\x00", b"null", None, b"empty", b""]
    for payload in (b"\xff\x00not json", None, b""):
        position = scene.send(payload, 2, key=b"\x00k", headers=headers)
        await scene.reject(payload, position, 2, key=b"\x00k", headers=stored_headers)
    scene.commit({0: 4, 2: 3, 3: 1})

    report = await scene.audit()

    assert report.clean
    assert outcomes(report) == {
        "messages": 8,
        "stored": 2,
        "duplicate": 1,
        "rejected": 4,
        "conflict": 1,
    }
    assert report.problems == []
    assert report.unseen == []
    assert [(each.partition, each.first, each.next) for each in report.partitions] == [
        (0, 0, 4),
        (1, 0, 0),
        (2, 0, 3),
        (3, 0, 1),
    ]
    assert msgspec.json.decode(msgspec.json.encode(report), type=AuditReport) == report
    assert report.lines()[-1].startswith("every message has exactly one outcome")


async def test_deleted_order(scene: Scene) -> None:
    """An order whose row is gone is missing, and named by partition, offset and uid."""
    for uid in ("a", "b", "c"):
        await scene.keep(uid)
    scene.commit()
    await scene.connection.execute("delete from orders where order_uid = 'b'")

    report = await scene.audit()

    assert not report.clean
    assert outcomes(report) == {"messages": 3, "stored": 2, "missing": 1}
    assert report.problems == [Problem(0, 1, "b", "no row of orders has its uid")]
    assert "partition 0, offset 1, order b: no row of orders has its uid" in "\n".join(report.lines())


async def test_changed_byte(scene: Scene) -> None:
    """One changed byte in a stored payload is found, also when it only changes the layout of the JSON."""
    await scene.keep("a")
    position = scene.send(order("b"))
    await scene.store("b", order("b").replace(b'"entry": ', b'"entry":\t'), position)
    scene.commit()

    report = await scene.audit()

    assert outcomes(report) == {"messages": 2, "stored": 1, "missing": 1, "wrong": 1}
    assert report.problems == [Problem(0, 1, "b", "the order that was stored from it has other bytes")]


async def test_lost_conflict(scene: Scene) -> None:
    """An order that says something else under a taken uid, and is kept nowhere, is missing."""
    await scene.keep("a")
    scene.send(order("a", city="elsewhere"))
    scene.commit()

    report = await scene.audit()

    assert outcomes(report) == {"messages": 2, "stored": 1, "missing": 1}
    assert [(problem.offset, problem.order_uid) for problem in report.problems] == [(1, "a")]


@pytest.mark.parametrize(
    ("difference", "change"),
    [
        ("payload, sha256", {"payload": b"broken!"}),
        ("key", {"key": b""}),
        ("key", {"key": b"k "}),
        ("headers", {"headers": [b"h", b""]}),
        ("headers", {"headers": []}),
    ],
)
async def test_changed_reject(scene: Scene, difference: str, change: dict[str, Any]) -> None:
    """A reject that is not the message byte for byte is no outcome; the report says in what it differs."""
    message: dict[str, Any] = {"payload": b"broken", "key": None, "headers": [b"h", None]}
    position = scene.send(b"broken", headers=[("h", None)])
    await scene.reject(position=position, **message | change)
    scene.commit()

    report = await scene.audit()

    assert outcomes(report) == {"messages": 1, "missing": 1, "wrong": 1}
    assert report.problems == [Problem(0, 0, None, f"the reject kept of it has another {difference}")]


async def test_unreadable_headers(scene: Scene) -> None:
    """A header name that is not UTF-8, which the client cannot read, does not kill the audit; it says so.

    Enough of them for the interpreter to specialise the call that asks for headers: then it no longer sees
    that the client has failed.
    """
    count = 200
    send_with_raw_header(scene.kafka.bootstrap, scene.topic, b"broken", b"\xff\xfe", count)
    for position in range(count):
        await scene.reject(b"broken", position)
    scene.commit()

    report = await scene.audit()

    assert report.clean
    assert outcomes(report) == {"messages": count, "rejected": count}
    assert report.unseen == ["Headers of 200 rejects: a name is not UTF-8 and cannot be read."]


async def test_discarded_rejects(scene: Scene) -> None:
    """A reject whose content was discarded is proved by its hash and kind, and it says for how many."""
    await scene.keep("a")
    for payload, kind in (
        (b"broken", "not_json"),
        (None, "tombstone"),
        (order("a", city="other bytes"), "conflict"),
        (b"not what was kept", "not_json"),
        (b"not a conflict", "conflict"),
    ):
        position = scene.send(payload, key=b"key", headers=[("name", "value")])
        await scene.reject(payload, position, kind=kind)
    await scene.connection.execute(
        "update rejected_messages set payload = null, key = null, headers = '{}', discarded_at = now();"
        "update rejected_messages set sha256 = sha256('another') where position = 4"
    )
    scene.commit()

    report = await scene.audit()

    assert outcomes(report) == {
        "messages": 6,
        "stored": 1,
        "rejected": 2,
        "conflict": 1,
        "missing": 2,
        "wrong": 2,
    }
    assert [(problem.offset, problem.reason) for problem in report.problems] == [
        (4, "the reject kept of it has another sha256"),
        (5, "it is not an order (not_json), but kept as a conflict"),
    ]
    assert report.unseen == [
        "The content of 5 rejects was discarded after ORDERKEEP_REJECTS_RETENTION_DAYS: "
        "only the hash of the payload was compared."
    ]


async def test_contradicting_outcomes(scene: Scene) -> None:
    """An outcome that contradicts the content of the message is wrong, whatever it is."""
    await scene.keep("a")
    kept_twice = await scene.keep("b")
    await scene.reject(order("b"), kept_twice, kind="database")
    for payload, kind in (
        (order("c"), "not_json"),  # a valid order
        (order("d"), "conflict"),  # with nothing
        (order("a"), "conflict"),  # with itself
        (b"not an order", "conflict"),
    ):
        await scene.reject(payload, scene.send(payload), kind=kind)
    rejected_twice = scene.send(b"x")
    await scene.reject(b"x", rejected_twice)
    await scene.reject(b"y", rejected_twice)
    scene.send(b"kept nowhere")
    scene.commit()

    report = await scene.audit()

    assert outcomes(report) == {"messages": 8, "stored": 1, "missing": 7, "wrong": 6}
    assert [(problem.offset, problem.reason) for problem in report.problems] == [
        (1, "it is kept twice, in orders and as a reject of kind database"),
        (2, "it is a valid order, but kept as a reject of kind not_json"),
        (3, "it is kept as a conflict, but no row of orders has its uid"),
        (4, "it is kept as a conflict, but orders has the same bytes under its uid"),
        (5, "it is not an order (not_json), but kept as a conflict"),
        (6, "2 rejects are kept of it"),
        (7, "it is not an order (not_json), and no reject is kept"),
    ]


async def test_replayed_rejects(scene: Scene) -> None:
    """A reject whose replay is noted has the outcome of the replay, if orders bears it out."""
    for uid, outcome in (("a", "stored"), ("b", "begun"), ("c", "redelivered")):
        position = await scene.keep(uid)
        await scene.reject(order(uid), position, kind="invalid")
        await scene.replay(position, "rejected")
        await scene.replay(position, outcome)
    for payload, outcome in ((order("a"), "duplicate"), (order("a", city="other bytes"), "conflict")):
        await scene.reject(payload, position := scene.send(payload), kind="invalid")
        await scene.replay(position, outcome)
    scene.commit()

    report = await scene.audit()

    assert report.clean
    assert outcomes(report) == {"messages": 5, "stored": 3, "duplicate": 1, "conflict": 1}


@pytest.mark.parametrize("outcome", ["rejected", "duplicate", "conflict", "anything"])
async def test_replayed_otherwise(scene: Scene, outcome: str) -> None:
    """An order that is kept twice is wrong, unless it is the replay that has stored it."""
    position = await scene.keep("a")
    await scene.reject(order("a"), position, kind="database")
    await scene.replay(position, outcome)
    scene.commit()

    report = await scene.audit()

    assert outcomes(report) == {"messages": 1, "missing": 1, "wrong": 1}


@pytest.mark.parametrize("outcome", ["stored", "duplicate"])
async def test_replay_without_an_order(scene: Scene, outcome: str) -> None:
    """A replay that is noted, while no order bears it out, explains nothing."""
    await scene.keep("a")
    for payload in (order("b"), order("a", city="other bytes")):
        await scene.reject(payload, position := scene.send(payload), kind="invalid")
        await scene.replay(position, outcome)
    scene.commit()

    report = await scene.audit()

    assert outcomes(report) == {"messages": 3, "stored": 1, "missing": 2, "wrong": 2}


async def test_other_incarnation(scene: Scene) -> None:
    """Rows of an earlier topic of the same name are not the outcome of this one's messages."""
    scene.send(b"broken")
    scene.send(order("a"))
    scene.source = await scene.connection.fetchval(
        "insert into sources (kind, topic, incarnation) values ('kafka', $1, 'earlier') returning id",
        scene.topic,
    )
    await scene.reject(b"broken", 0)
    await scene.store("a", order("a"), 1)
    scene.commit()

    report = await scene.audit()

    assert outcomes(report) == {"messages": 2, "duplicate": 1, "missing": 1}


async def test_extra_rows(scene: Scene) -> None:
    """Rows that claim an audited offset, and are not about the message there, are counted as extra."""
    await scene.keep("a")
    await scene.keep("b")
    await scene.store("never sent", order("never sent"), 1)
    await scene.store("later", order("later"), 2)  # not acknowledged yet
    scene.commit()

    report = await scene.audit()

    assert not report.clean
    assert outcomes(report) == {"messages": 2, "stored": 2, "extra": 1}
    assert [(problem.partition, problem.offset) for problem in report.problems] == [(0, None)]


async def test_many(scene: Scene) -> None:
    """A topic of many batches is read to its end, all problems are counted and the first twenty named."""
    count = 9_001
    payloads = [order(f"uid-{number}") for number in range(count)]
    positions: list[tuple[int, int, bytes]] = []

    def delivered(_: object, message: Message) -> None:
        positions.append((message.partition() or 0, message.offset() or 0, message.value() or b""))

    for payload in payloads:
        scene.producer.produce(scene.topic, payload, on_delivery=delivered)
        scene.producer.poll(0)
    scene.producer.flush()
    rows = [
        (json.loads(payload)["order_uid"], "t", "c", MOMENT, payload.decode(), scene.source, *place)
        for *place, payload in positions
    ]
    columns = ["order_uid", "track_number", "customer_id", "date_created", "payload"]
    columns += ["source", "partition", "position"]
    await scene.connection.copy_records_to_table("orders", records=rows, columns=columns)
    ends = dict.fromkeys(range(4), 0)
    for partition, position, _ in positions:
        ends[partition] = max(ends[partition], position + 1)
    scene.commit(ends)
    seen: list[tuple[int, int]] = []

    report = await scene.audit(progress=lambda done, total: seen.append((done, total)))

    assert report.clean
    assert outcomes(report) == {"messages": count, "stored": count}
    assert len(seen) > 1
    assert seen[-1] == (count, count)

    await scene.connection.execute("delete from orders where order_uid like 'uid-1__'")
    report = await scene.audit()
    assert outcomes(report) == {"messages": count, "stored": count - 100, "missing": 100}
    assert len(report.problems) == 20
    assert any("100 in all" in line for line in report.lines())
