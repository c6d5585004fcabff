"""The thread that reads Kafka, without a broker."""

import asyncio

import pytest
from structlog.testing import capture_logs

from orderkeep.sources import kafka_client
from orderkeep.sources.kafka_reader import KafkaReader
from orderkeep.storage.store import SourceIdentity
from tests.service import wait_until


async def nothing_known(_source: SourceIdentity) -> dict[int, int]:
    return {}


async def test_nobody_names_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """While no broker names the topic that was read, the log says that none is there."""
    monkeypatch.setattr(kafka_client, "DESCRIBE_SECONDS", 0.1)
    reader = KafkaReader(
        kafka_client.consumer_options("127.0.0.1:1", "group", {}),
        SourceIdentity("kafka", "orders", "one"),
        nothing_known,
        None,
        asyncio.Queue(),
    )
    with capture_logs() as logged:
        looking = asyncio.create_task(asyncio.to_thread(reader._find_topic))
        await asyncio.to_thread(wait_until, lambda: logged, "the log says something")
        reader.leave()
        await looking
    assert [line["event"] for line in logged] == ["broker_unavailable"]
