"""What is asked of Kafka: nothing that joins a group or reads a message."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec

from orderkeep.errors import BrokerUnavailable, Fatal, ServerUnavailable
from orderkeep.settings import Settings
from orderkeep.sources.kafka_client import (
    Options,
    classify,
    consumer_options,
    is_no_topic,
    make_admin,
)

from .kafka import Cluster, Partition, Topic

ANSWER_SECONDS = 5.0
_kept: dict[str, AdminClient] = {}
"""A client for each cluster, never let go of: its own thread may be the last to hold it, for a moment after
an answer, and librdkafka 2.16 aborts the process when a client ends there (seen within 30 looks)."""
_NEWEST: OffsetSpec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call] # its stubs give no type


async def look(settings: Settings) -> Cluster:
    """Raises `Transient` or `Fatal`."""
    options = consumer_options(settings.kafka_brokers, settings.kafka_group, settings.kafka_options)
    admin = _admin(options)
    try:
        nodes = await _ask(admin.describe_cluster, settings.kafka_topic)
    except BrokerUnavailable as error:
        raise ServerUnavailable(f"no broker answers at {settings.kafka_brokers} ({error})") from None
    return Cluster(
        brokers=len(nodes.nodes),
        topic=await _topic(admin, settings.kafka_topic),
        dead_letters=await _topic(admin, settings.kafka_dead_letter_topic),
    )


def _admin(options: Options) -> AdminClient:
    name = repr(sorted(options.items()))
    if name not in _kept:
        _kept[name] = make_admin(options)
    return _kept[name]


async def _topic(admin: AdminClient, name: str) -> Topic | None:
    if not name:
        return None

    def describe(request_timeout: float) -> "Future[Any]":
        answer: Future[Any] = admin.describe_topics(TopicCollection([name]), request_timeout=request_timeout)[
            name
        ]
        return answer

    try:
        found = await _ask(describe, name)
    except _NoTopic:
        return None
    partitions = tuple(
        Partition(each.id, each.leader.id if each.leader else None, len(each.replicas), len(each.isr))
        for each in found.partitions
    )
    led = [each.number for each in partitions if each.leader is not None]
    return Topic(name, partitions, await _config(admin, name), await _newest(admin, name, led))


async def _config(admin: AdminClient, name: str) -> dict[str, str] | None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    try:
        found = await _ask(
            lambda request_timeout: admin.describe_configs([resource], request_timeout=request_timeout)[
                resource
            ],
            name,
        )
    except (Fatal, BrokerUnavailable):  # a right of its own, which ingest need not have
        return None
    return {key: entry.value for key, entry in found.items()}


async def _newest(admin: AdminClient, name: str, partitions: list[int]) -> float | None:
    asked = {TopicPartition(name, number): _NEWEST for number in partitions}
    answers = admin.list_offsets(asked, request_timeout=ANSWER_SECONDS) if asked else {}
    try:
        found = [(await asyncio.wrap_future(answer)).timestamp for answer in answers.values()]
    except KafkaException:
        return None
    return max(found) / 1000 if found and max(found) > 0 else None


class _NoTopic(Exception):
    pass


async def _ask(call: Callable[..., "Future[Any]"], topic: str) -> Any:
    """Waits for one answer. Raises `_NoTopic`, `Transient` or `Fatal`."""
    try:
        return await asyncio.wrap_future(call(request_timeout=ANSWER_SECONDS))
    except KafkaException as raised:
        if is_no_topic(raised.args[0]):
            raise _NoTopic from None
        raise classify(raised.args[0], topic) from None
