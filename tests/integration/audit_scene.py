"""A topic with messages, and a database as a correct pipeline leaves it; for the tests of the audit."""

import ctypes
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import confluent_kafka
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from orderkeep.audit import AuditReport, audit
from orderkeep.audit.kafka import KafkaTopic
from orderkeep.embedded import KafkaServer

GROUP = "orderkeep"
MOMENT = datetime(2021, 11, 26, 6, 22, 19, tzinfo=UTC)
Headers = list[tuple[str, str | bytes | None]]


class Database(Protocol):
    url: str


def order(uid: str, city: str = "Kiryat Mozkin") -> bytes:
    """A valid order, with blanks and an unknown field that only byte equality sees."""
    document = {
        "order_uid": uid,
        "track_number": "WBILMTESTTRACK",
        "entry": "WBIL",
        "delivery": dict.fromkeys(("name", "phone", "zip", "address", "region", "email"), "Ж")
        | {"city": city},
        "payment": {
            **dict.fromkeys(("transaction", "request_id", "currency", "provider", "bank"), "x"),
            **dict.fromkeys(("amount", "payment_dt", "delivery_cost", "goods_total", "custom_fee"), 1),
        },
        "items": [],
        "locale": "en",
        "internal_signature": "",
        "customer_id": "test",
        "delivery_service": "meest",
        "shardkey": "9",
        "sm_id": 99,
        "date_created": "2021-11-26T06:22:19Z",
        "oof_shard": "1",
        "unknown": 1.50,
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


class Scene:
    """A topic, and the database as the pipeline would leave it."""

    def __init__(self, kafka: KafkaServer, topic: str, url: str, connection: asyncpg.Connection) -> None:
        self.kafka, self.topic, self.url, self.connection = kafka, topic, url, connection
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        self.producer = Producer({"bootstrap.servers": kafka.bootstrap})
        self.source = 0

    async def register(self) -> None:
        """Write the topic's row of sources."""
        described = self.admin.describe_topics(TopicCollection([self.topic]))[self.topic].result()
        self.source = await self.connection.fetchval(
            "insert into sources (kind, topic, incarnation) values ('kafka', $1, $2) returning id",
            self.topic,
            str(described.topic_id),
        )

    def send(
        self,
        payload: bytes | None,
        partition: int = 0,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
    ) -> int:
        """Produce one message; returns its offset."""
        positions: list[int | None] = []

        def delivered(_: object, message: Message) -> None:
            positions.append(message.offset())

        self.producer.produce(
            self.topic, payload, key=key, headers=headers or [], partition=partition, on_delivery=delivered
        )
        self.producer.flush()
        (position,) = positions
        assert position is not None
        return position

    async def store(self, uid: str, payload: bytes, position: int, partition: int = 0) -> None:
        """Insert a row of orders."""
        await self.connection.execute(
            "insert into orders (order_uid, track_number, customer_id, date_created,"
            " payload, source, partition, position) values ($1, 't', 'c', $2, $3, $4, $5, $6)",
            *(uid, MOMENT, payload.decode(), self.source, partition, position),
        )

    async def reject(
        self,
        payload: bytes | None,
        position: int,
        partition: int = 0,
        *,
        kind: str = "not_json",
        key: bytes | None = None,
        headers: Sequence[bytes | None] = (),
    ) -> None:
        """Insert a row of rejected_messages."""
        await self.connection.execute(
            "insert into rejected_messages (source, partition, position, payload, sha256, kind, reason,"
            " key, headers) values ($1, $2, $3, $4, $5, $6, 'because', $7, $8)",
            *(self.source, partition, position, payload, hashlib.sha256(payload or b"").digest(), kind),
            *(key, list(headers)),
        )

    async def replay(self, position: int, outcome: str) -> None:
        """Note a replay of the reject at a position of partition 0."""
        await self.connection.execute(
            "insert into replays (reject_id, outcome, detail)"
            " select id, $3, '' from rejected_messages where (source, partition, position) = ($1, 0, $2)",
            *(self.source, position, outcome),
        )

    async def keep(self, uid: str, partition: int = 0) -> int:
        """Send a valid order and store it; returns its offset."""
        position = self.send(order(uid), partition)
        await self.store(uid, order(uid), position, partition)
        return position

    def commit(self, offsets: Mapping[int, int] | None = None, group: str = GROUP) -> None:
        """Acknowledge up to the given offsets; by default the whole of partition 0."""
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": group})
        if offsets is None:
            offsets = {0: consumer.get_watermark_offsets(TopicPartition(self.topic, 0))[1]}
        consumer.commit(
            offsets=[TopicPartition(self.topic, *where) for where in offsets.items()], asynchronous=False
        )
        consumer.close()

    async def audit(self, **changes: object) -> AuditReport:
        """Audit the topic, with other arguments where they are given."""
        asked: dict[str, Any] = {
            "brokers": self.kafka.bootstrap,
            "kafka_options": {},
            "topic": self.topic,
            "group": GROUP,
            "database_url": self.url,
            **changes,
        }
        names = ("brokers", "kafka_options", "topic", "group")
        return await audit(KafkaTopic(*(asked.pop(name) for name in names)), **asked)


@asynccontextmanager
async def opened(kafka: KafkaServer, topic: str, url: str) -> AsyncIterator[Scene]:
    """A scene whose topic is known to the database already."""
    connection = await asyncpg.connect(url)
    scene = Scene(kafka, topic, url, connection)
    await scene.register()
    yield scene
    await connection.close()


def send_with_raw_header(bootstrap: str, topic: str, payload: bytes, name: bytes, count: int) -> None:
    """Produce messages whose header name is not UTF-8, through librdkafka: the client takes only text."""
    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    library = next(folder.glob("librdkafka*"), None)
    if library is None or not sys.platform.startswith("linux"):
        pytest.skip("the librdkafka of confluent-kafka's wheel for Linux is needed to send such a header")
    rdkafka = ctypes.CDLL(str(library))
    rdkafka.rd_kafka_conf_new.restype = rdkafka.rd_kafka_new.restype = ctypes.c_void_p
    configuration = ctypes.c_void_p(rdkafka.rd_kafka_conf_new())
    error = ctypes.create_string_buffer(512)
    rdkafka.rd_kafka_conf_set(configuration, b"bootstrap.servers", bootstrap.encode(), error, 512)
    client = ctypes.c_void_p(rdkafka.rd_kafka_new(0, configuration, error, 512))  # 0: RD_KAFKA_PRODUCER
    for _ in range(count):
        # rd_kafka_vtype_t in rdkafka.h: 1 topic, 3 partition, 4 value, 7 flags (2: copy), 9 header, 0 end
        failed = rdkafka.rd_kafka_producev(
            *(client, 1, topic.encode(), 3, 0, 4, payload, ctypes.c_size_t(len(payload)), 7, 2),
            *(9, name, b"value", ctypes.c_ssize_t(5), 0),
        )
        assert not failed
    assert not rdkafka.rd_kafka_flush(client, 10_000)
    rdkafka.rd_kafka_destroy(client)


def outcomes(report: AuditReport) -> dict[str, int]:
    names = ("messages", "stored", "duplicate", "rejected", "conflict", "missing", "wrong", "extra")
    return {name: getattr(report, name) for name in names if getattr(report, name)}
