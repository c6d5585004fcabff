"""What the audit does not see it says; what it cannot do it says in one line; and it leaves no trace."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio
from confluent_kafka import Producer, TopicPartition

from orderkeep.embedded import KafkaServer
from orderkeep.errors import ConfigurationError, NotMigrated, ServerUnavailable

from .audit_scene import Database, Scene, opened, order, outcomes

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def scene(kafka: KafkaServer, topic: str, database: Database) -> AsyncIterator[Scene]:
    async with opened(kafka, topic, database.url) as scene:
        yield scene


async def test_unacknowledged(scene: Scene) -> None:
    """Messages after the committed offset are not audited, and the report says how many wait."""
    await scene.keep("a")
    scene.send(order("b"))
    scene.send(order("c"))
    scene.send(order("d"), 2)
    scene.commit({0: 1})

    report = await scene.audit()

    assert report.clean
    assert outcomes(report) == {"messages": 1, "stored": 1}
    assert report.unseen == [
        "Partition 0: at most 2 messages after the committed offset 1 are not acknowledged yet.",
        "Partition 2: the group has no committed offset; at most 1 messages wait there.",
    ]


async def test_retention(scene: Scene) -> None:
    """Messages that retention deleted are not audited, and the report says how many, read or unread."""
    for uid in ("a", "b", "c"):
        await scene.keep(uid)
    for _ in range(3):
        scene.send(b"deleted before anyone read it", 1)
    scene.commit({0: 3, 1: 1})
    gone = [TopicPartition(scene.topic, 0, 2), TopicPartition(scene.topic, 1, 3)]
    for done in scene.admin.delete_records(gone).values():
        done.result()

    report = await scene.audit()

    assert report.clean
    assert outcomes(report) == {"messages": 1, "stored": 1}
    assert report.unseen == [
        "Partition 0: 2 offsets before 2 were deleted by retention.",
        "Partition 1: 3 offsets before 3 were deleted by retention.",
        "Partition 1: 2 of the deleted offsets had not been acknowledged by the group.",
    ]


async def test_transactions(scene: Scene) -> None:
    """Aborted messages and the ends of transactions are no messages: neither missing, nor waited for."""
    producer = Producer({"bootstrap.servers": scene.kafka.bootstrap, "transactional.id": scene.topic})
    producer.init_transactions(30)
    await scene.keep("a")  # offset 0
    for payload, ends in (
        (b"aborted", producer.abort_transaction),  # offsets 1 and 2
        (order("b"), producer.commit_transaction),  # offsets 3 and 4
        (b"aborted", producer.abort_transaction),  # offsets 5 and 6
    ):
        producer.begin_transaction()
        producer.produce(scene.topic, payload, partition=0)
        producer.flush()
        ends()
    await scene.store("b", order("b"), 3)
    scene.commit({0: 7})

    report = await scene.audit()

    assert report.clean
    assert outcomes(report) == {"messages": 2, "stored": 2}
    assert report.unseen == ["5 offsets hold no message to read: aborted, or the end of a transaction."]

    await scene.reject(b"aborted", 5)
    assert outcomes(await scene.audit()) == {"messages": 2, "stored": 2, "extra": 1}


async def test_compaction(scene: Scene) -> None:
    """Of a compacted topic, rows without a message are not held against the pipeline."""
    scene.topic += "-compacted"
    scene.kafka.create_topic(scene.topic, 1, {"cleanup.policy": "compact"})
    await scene.register()
    scene.producer.produce(scene.topic, order("a"), key=b"a")
    scene.producer.flush()
    await scene.store("a", order("a"), 0)
    await scene.store("replaced", order("replaced"), 0)
    scene.commit()

    report = await scene.audit()

    assert report.clean
    assert [sentence.split(":")[0] for sentence in report.unseen] == ["The topic is compacted"]
    scene.kafka.delete_topic(scene.topic)


async def test_range(scene: Scene) -> None:
    """With `since` and `until` only the messages between them are audited and counted."""
    scene.send(b"of an earlier run, kept nowhere")
    await scene.keep("a")
    await scene.keep("b")
    scene.send(b"of a later run, kept nowhere")
    await scene.keep("c", partition=1)
    scene.commit({0: 4, 1: 1})

    report = await scene.audit(since={0: 1}, until={0: 3})

    assert report.clean
    assert outcomes(report) == {"messages": 3, "stored": 3}
    assert report.unseen == []

    report = await scene.audit(since={0: 4, 1: 1})
    assert report.clean
    assert report.messages == 0


async def test_cancelled(scene: Scene) -> None:
    """An audit that is cancelled in the middle closes its client and leaves no thread."""
    for number in range(2_100):
        scene.producer.produce(scene.topic, str(number).encode(), partition=0)
    scene.producer.flush()
    scene.commit()
    begun = asyncio.Event()
    task = asyncio.create_task(scene.audit(progress=lambda _done, _total: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("audit-kafka")]


async def test_changes_nothing(scene: Scene) -> None:
    """The audit commits nothing for the group and writes nothing into the database."""
    await scene.keep("a")
    scene.send(b"waits")
    scene.commit({0: 1})
    tables = ("sources", "orders", "rejected_messages", "progress")

    async def contents() -> list[Any]:
        return [await scene.connection.fetch(f"select * from {table}") for table in tables]

    before = await contents()
    first, second = await scene.audit(), await scene.audit()
    assert await contents() == before
    assert first.partitions == second.partitions


async def test_setup_errors(scene: Scene) -> None:
    """What keeps an audit from running at all is told in one line, with what to do."""
    with pytest.raises(ServerUnavailable, match="There is no topic 'nowhere'"):
        await scene.audit(topic="nowhere")
    with pytest.raises(ConfigurationError, match="has acknowledged nothing of topic"):
        await scene.audit()
    with pytest.raises(ConfigurationError, match="ORDERKEEP_KAFKA_OPTIONS"):
        await scene.audit(kafka_options={"no.such.option": "1"})

    await scene.keep("a")
    scene.commit()
    address = urlsplit(scene.url)
    host = address.netloc.rpartition("@")[2]
    with pytest.raises(ServerUnavailable, match="PostgreSQL cannot be reached"):
        await scene.audit(database_url="postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(ConfigurationError, match="password authentication failed"):
        await scene.audit(database_url=urlunsplit(address._replace(netloc=f"nobody:secret@{host}")))
    with pytest.raises(ConfigurationError, match="is not of the form") as caught:
        await scene.audit(database_url="postgresql://nobody:sec/ret@127.0.0.1/none")
    assert "sec" not in str(caught.value)
    await scene.connection.execute("alter table sources rename to renamed")
    with pytest.raises(NotMigrated, match="orderkeep migrate"):
        await scene.audit()


async def test_no_broker(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that cannot be reached is told in one line."""
    monkeypatch.setattr("orderkeep.audit.kafka_survey.PATIENCE", 1.0)
    with pytest.raises(ServerUnavailable, match=r"Kafka at 127\.0\.0\.1:1 does not answer") as caught:
        await scene.audit(brokers="127.0.0.1:1")
    assert "\n" not in str(caught.value)
