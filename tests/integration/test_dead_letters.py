"""The dead-letter topic on real servers: every reject arrives there, also when ingest is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from orderkeep.embedded import KafkaServer
from tests.conftest import Database
from tests.service import PATIENCE, Service

from .load import Load, prove, wait_for_commits
from .reject_scene import KEPT, MESSAGES

Place = tuple[str, str, int, int]


@pytest.fixture
def dead_topic(kafka: KafkaServer, topic: str) -> Iterator[str]:
    name = f"{topic}-dead"
    kafka.create_topic(name, partitions=2)
    yield name
    kafka.delete_topic(name)


@pytest.fixture
def service(
    tmp_path: Path, kafka: KafkaServer, topic: str, database: Database, dead_topic: str
) -> Iterator[Service]:
    """Not started yet; `topic` has four partitions."""
    made = make_service(tmp_path, kafka, topic, database, dead_topic)
    yield made
    made.stop()


def make_service(folder: Path, kafka: KafkaServer, topic: str, database: Database, dead: str) -> Service:
    return Service(
        folder,
        brokers=kafka.bootstrap,
        topic=topic,
        database_url=database.ingest_url,
        read_url=database.reader_url,
        group=f"group-{topic}",
        env={"ORDERKEEP_KAFKA_DEAD_LETTER_TOPIC": dead},
    )


def read_all(brokers: str, topic: str) -> list[Message]:
    """All that the topic holds now."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "reads-all", "enable.partition.eof": True})
    try:
        numbers = consumer.list_topics(topic, PATIENCE).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        messages, open_ends = [], len(numbers)
        while open_ends:
            message = consumer.poll(PATIENCE)
            assert message is not None
            error = message.error()
            if error is None:
                messages.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF
                open_ends -= 1
        return messages
    finally:
        consumer.close()


def said(message: Message) -> dict[str, str]:
    """The headers that were added, without their prefix."""
    ours = [(name, value) for name, value in headers(message) if name.startswith("orderkeep-")]
    return {name.removeprefix("orderkeep-"): (value or b"").decode() for name, value in ours}


def headers(message: Message) -> list[tuple[str, bytes | None]]:
    found: Any = message.headers()  # what is declared is what may be sent
    return list(found or [])


def place(message: Message) -> Place:
    header = said(message)
    return header["topic"], header["incarnation"], int(header["partition"]), int(header["position"])


def places_in(database: Database) -> set[Place]:
    rows = database.fetch(
        "select topic, incarnation, partition, position from rejected_messages"
        " join sources on sources.id = rejected_messages.source"
    )
    return {(row["topic"], row["incarnation"], row["partition"], row["position"]) for row in rows}


def test_every_kind(service: Service, database: Database, dead_topic: str) -> None:
    """A dead letter has the bytes and headers of the message, and says why and where it came from."""
    service.start_ingest()
    producer = service._producer
    for payload, _ in MESSAGES:
        producer.produce(
            service.topic, payload, b"key", partition=1, headers=[("own", b"\xff"), ("own", None)]
        )
    producer.flush()
    service.wait_until_acknowledged()
    letters = sorted(read_all(service.brokers, dead_topic), key=place)
    assert [(place(one)[3], one.value(), said(one)["kind"]) for one in letters] == KEPT
    assert {place(one) for one in letters} == places_in(database)
    rows = database.fetch("select position, reason from rejected_messages")
    reasons = {row["position"]: row["reason"] for row in rows}
    service.start_api()
    described = httpx.get(f"{service.url}/asyncapi.json").json()
    assert described["channels"]["deadLetters"]["address"] == dead_topic
    schema = described["components"]["schemas"]["DeadLetterHeaders"]
    assert list(said(letters[0])) == [name.removeprefix("orderkeep-") for name in schema["properties"]]
    for one in letters:
        jsonschema.validate({f"orderkeep-{name}": text for name, text in said(one).items()}, schema)
        assert one.key() == b"key"
        assert headers(one)[:2] == [("own", b"\xff"), ("own", None)]
        assert said(one)["reason"] == reasons[place(one)[3]]


@pytest.mark.timeout(240)
def test_killed_in_mid_stream(service: Service, database: Database, dead_topic: str) -> None:
    """Killed again and again under load, ingest leaves no reject without its dead letter."""
    service.start_ingest()
    with Load(service, bad=0.5) as load:
        for _ in range(2):
            wait_for_commits(service.ingest)
            service.ingest.kill()
            load.wait_for_more()
            service.start_ingest()
        wait_for_commits(service.ingest)
    prove(service, load)
    letters = {place(one) for one in read_all(service.brokers, dead_topic)}
    assert letters == places_in(database)


def test_delivered_again(service: Service, database: Database, dead_topic: str) -> None:
    """Where nothing was acknowledged, what is in the database already is delivered all the same."""
    service.send([b"garbage"] * 10)
    service.start_ingest()
    service.wait_until_acknowledged()
    service.ingest.stop()
    before = len(read_all(service.brokers, dead_topic))
    admin = AdminClient({"bootstrap.servers": service.brokers})
    admin.delete_consumer_groups([service.group])[service.group].result(PATIENCE)
    service.start_ingest()
    service.wait_until_acknowledged()
    assert (before, len(read_all(service.brokers, dead_topic))) == (10, 20)
    assert len(places_in(database)) == 10


def test_no_such_topic(tmp_path: Path, kafka: KafkaServer, topic: str, database: Database) -> None:
    """Without the topic ingest does not start, and says what to do."""
    service = make_service(tmp_path, kafka, topic, database, "nowhere")
    done = service.command("ingest")
    assert done.returncode == 3
    assert "'nowhere'" in done.stderr
    assert "ORDERKEEP_KAFKA_DEAD_LETTER_TOPIC" in done.stderr


def test_too_large(
    tmp_path: Path, kafka: KafkaServer, topic: str, database: Database, dead_topic: str
) -> None:
    """A topic that refuses a message for its size stops ingest, and acknowledges nothing."""
    kafka.create_topic(f"{dead_topic}-small", config={"max.message.bytes": "1000"})
    service = make_service(tmp_path, kafka, topic, database, f"{dead_topic}-small")
    service.send([b"x" * 2_000])
    done = service.command("ingest")
    assert done.returncode == 2
    assert "max.message.bytes" in done.stderr
    assert service.unacknowledged() == 1
    kafka.delete_topic(f"{dead_topic}-small")
