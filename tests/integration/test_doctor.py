"""`orderkeep doctor` on real servers: what it says of those that are right, wrong, and away."""

import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from orderkeep.doctor import Report, examine
from orderkeep.doctor.checks import CHECKS
from orderkeep.embedded import KafkaServer, NatsServer, RedisServer, StanServer
from orderkeep.settings import Settings
from tests.conftest import INGEST, OWNER, PASSWORD, READER, Database
from tests.contract.brokers import JetStreamBroker, KafkaBroker, StanBroker
from tests.service import run_command

TRIES = 10
NOWHERE = "127.0.0.1:1"
"""Where nothing listens: the port is reserved (tcpmux)."""


@pytest.fixture
def urls(database: Database) -> dict[str, Any]:
    """Each user where it belongs."""
    return {
        "database_url": database.ingest_url,
        "database_read_url": database.reader_url,
        "database_migrate_url": database.owner_url,
    }


async def report_of(*areas: str, **given: Any) -> Report:
    """Of the checks whose names begin with one of the areas, all without any.

    Its servers are there, so a look that found none, on a machine that is too busy to answer, is taken again.
    """
    checks = [check for check in CHECKS if not areas or check.name.startswith(areas)]
    for _ in range(TRIES):
        report = await examine(Settings(_env_file=None, **given), checks)
        if "skipped" not in severities(report).values():
            break
    return report


def severities(report: Report) -> dict[str, str]:
    """Of the checks that are not ok."""
    return {each.check: each.severity for each in report.findings if each.severity != "ok"}


def said(report: Report, check: str) -> str:
    """All that a check found, and what to do about it."""
    return "\n".join(f"{each.what}: {each.remedy}" for each in report.findings if each.check == check)


OF_THESE_SERVERS = {"database-durability": "error"}
"""fsync is off in the tests' PostgreSQL, and each broker is one node."""


async def test_kafka(urls: dict[str, Any], kafka: KafkaServer, topic: str) -> None:
    """On Kafka all is well but what is not: fsync is off, a topic has one copy, a message waits."""
    broker = KafkaBroker(kafka, topic)
    broker.publish(b"x")
    broker.flush()
    report = await report_of(**urls, kafka_brokers=kafka.bootstrap, kafka_topic=topic)
    assert severities(report) == {**OF_THESE_SERVERS, "kafka-replication": "warning", "lag": "warning"}
    assert "fsync" in said(report, "database-durability")
    assert "up to 1 messages wait" in said(report, "lag")
    assert report.exit_code == 2


async def test_jetstream_and_redis(
    urls: dict[str, Any], nats: NatsServer, subject: str, redis: RedisServer
) -> None:
    """On JetStream with Redis all is well but what is not: fsync, and a Redis that may take all memory."""
    JetStreamBroker(nats, subject)
    names = {"nats_url": nats.url, "nats_stream": subject, "nats_subject": subject}
    report = await report_of(**urls, source="jetstream", cache="both", redis_url=redis.url, **names)
    assert severities(report) == {**OF_THESE_SERVERS, "redis-memory": "warning"}


async def test_stan(urls: dict[str, Any], stan: StanServer, subject: str) -> None:
    """On NATS Streaming all is well but what is not: fsync, and messages that wait."""
    broker = StanBroker(stan, subject)
    broker.publish(b"x")
    broker.flush()
    names = {"nats_url": stan.url, "nats_subject": subject, "stan_cluster": stan.cluster}
    report = await report_of(**urls, source="stan", **names)
    assert severities(report) == {**OF_THESE_SERVERS, "lag": "warning"}


def test_everything_is_down(tmp_path: Path) -> None:
    """With nothing there it says which is down and what to do, shows no password, and exits with 2."""
    url = f"postgresql://user:hidden-word@{NOWHERE}/orderkeep"
    env = {
        "ORDERKEEP_DATABASE_URL": url,
        "ORDERKEEP_KAFKA_BROKERS": NOWHERE,
        "ORDERKEEP_CACHE": "redis",
        "ORDERKEEP_REDIS_URL": f"redis://user:hidden-word@{NOWHERE}",
    }
    done = run_command(tmp_path, ["doctor", "--json"], env)
    report = json.loads(done.stdout)
    down = {each["check"]: each["severity"] for each in report["findings"] if each["remedy"]}
    assert down == {
        **dict.fromkeys(("database", "database-read", "database-migrate", "kafka"), "error"),
        "redis": "warning",
    }
    assert (done.returncode, report["exit_code"], report["error"]) == (2, 2, 4)
    assert "hidden-word" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    """Every mistake in the settings is told, not the first alone."""
    env = {"ORDERKEEP_HTTP_PROT": "1", "ORDERKEEP_HTTP_PORT": "eighty", "ORDERKEEP_LOG_LEVEL": "loud"}
    done = run_command(tmp_path, ["doctor"], env)
    assert done.returncode == 2
    for words in ("did you mean ORDERKEEP_HTTP_PORT?", "ORDERKEEP_HTTP_PORT: ", "ORDERKEEP_LOG_LEVEL: "):
        assert words in done.stdout


async def test_one_user_for_all(database: Database) -> None:
    """Who owns the tables may do more than ingest and the API need: a warning for each, with the role."""
    report = await report_of("database", database_url=database.owner_url)
    assert f"{OWNER} may do more than orderkeep_ingest: " in said(report, "database-ingest-user")
    assert f"{OWNER} may do more than orderkeep_reader: " in said(report, "database-read-user")
    assert severities(report)["database-ingest-user"] == "warning"


async def test_users_who_may_too_little(database: Database, urls: dict[str, Any]) -> None:
    """A user without the rights of its role is told which, and which role to grant."""
    wrong = {"database_url": database.reader_url, "database_migrate_url": database.ingest_url}
    report = await report_of("database", **{**urls, **wrong})
    assert severities(report)["database-ingest-user"] == "error"
    assert f"{READER} lacks INSERT on " in said(report, "database-ingest-user")
    assert f"grant orderkeep_ingest to {READER}" in said(report, "database-ingest-user")
    assert f"{INGEST} does not own the tables" in said(report, "database-owner")


async def test_role_that_may_too_much(database: Database, urls: dict[str, Any]) -> None:
    """A role that may change orders is an error, whoever granted it, and so is a reader that may write."""
    database.execute(
        "grant delete on orders to orderkeep_ingest; grant insert on progress to orderkeep_reader"
    )
    report = await report_of("database", **urls)
    assert "orderkeep_ingest has DELETE on orders" in said(report, "database-ingest-user")
    assert "orderkeep_reader has INSERT on progress" in said(report, "database-read-user")


async def test_not_migrated(empty_database: Database) -> None:
    """A database without tables is told as that, with the command that makes them."""
    report = await report_of("database", database_url=empty_database.owner_url)
    assert severities(report)["database-migrations"] == "error"
    assert "run `orderkeep migrate`" in said(report, "database-migrations")


async def test_migrations(database: Database, urls: dict[str, Any]) -> None:
    """A file that was changed, one that is missing, and those of a newer program are each told."""
    database.execute(
        "update schema_migrations set sha256 = 'x' where version = 1;"
        "delete from schema_migrations where version = 2;"
        "insert into schema_migrations (version, name, sha256) values (9998, '9998_later.sql', 'x')"
    )
    told = said(await report_of("database", **urls), "database-migrations")
    assert "changed since applied: 0001_orders.sql" in told
    assert "not applied: 0002_roles.sql" in told
    assert "applied by a newer program: 9998_later.sql" in told
    database.execute(
        "insert into schema_migrations (version, name, sha256, oldest_program)"
        " values (9999, '9999_other.sql', 'x', 9999)"
    )
    told = said(await report_of("database", **urls), "database-migrations")
    assert "this one does not work with: 9999_other.sql" in told


async def test_another_encoding(database: Database) -> None:
    """A database that cannot hold every character is an error."""
    name = f"{database.name}_latin1"
    database.server.execute(
        f"create database {name} template template0 encoding 'LATIN1' locale 'C' owner {OWNER}"
    )
    try:
        url = database.server.url(OWNER, PASSWORD, database=name)
        report = await report_of("database", database_url=url)
    finally:
        database.server.execute(f"drop database {name} with (force)")
    assert "LATIN1" in said(report, "database-encoding")
    assert severities(report)["database-encoding"] == "error"


async def test_two_databases(database: Database, empty_database: Database) -> None:
    """Reads from another database than writes go to are an error."""
    report = await report_of(
        "database", database_url=database.ingest_url, database_read_url=empty_database.reader_url
    )
    assert "two different databases" in said(report, "database-replica")


async def test_topic_that_loses_messages(urls: dict[str, Any], kafka: KafkaServer, subject: str) -> None:
    """A topic that is compacted and deletes soon, and dead letters without a topic, are told."""
    kafka.create_topic(
        subject,
        partitions=1,
        config={
            "cleanup.policy": "compact,delete",
            "retention.ms": "3600000",
            "retention.bytes": "1000",
            "unclean.leader.election.enable": "true",
        },
    )
    given = {"kafka_brokers": kafka.bootstrap, "kafka_topic": subject, "kafka_dead_letter_topic": "nowhere"}
    report = await report_of("kafka", **urls, **given)
    kafka.delete_topic(subject)
    for words in ("is compacted", "for 60 minutes", "1,000 bytes"):
        assert words in said(report, "kafka-retention")
    assert "unclean.leader.election.enable" in said(report, "kafka-replication")
    assert severities(report)["kafka-dead-letters"] == "error"


async def test_messages_that_were_deleted(urls: dict[str, Any], kafka: KafkaServer, topic: str) -> None:
    """What the broker deleted before it was stored is counted: ingest would stop there."""
    broker = KafkaBroker(kafka, topic)
    for _ in range(3):
        broker.publish(b"x")
    broker.flush()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    group = f"doctor-{topic}"
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 1)])
    admin.alter_consumer_group_offsets([asked])[group].result()
    for answer in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        answer.result()
    given = {"kafka_brokers": kafka.bootstrap, "kafka_topic": topic, "kafka_group": group}
    report = await report_of("kafka", "lag", **urls, **given)
    assert "2 messages were deleted before they were stored" in said(report, "lag")
    assert severities(report)["lag"] == "error"


async def test_stream_that_loses_messages(urls: dict[str, Any], nats: NatsServer, subject: str) -> None:
    """A stream in memory, with limits, and a durable that gives messages up, are told."""
    broker = JetStreamBroker(nats, subject, make=False)
    broker.make_stream(storage="memory", max_age=3_600_000_000_000, max_msgs=10, subjects=[subject, "other"])
    broker.wire.ask(
        f"CONSUMER.DURABLE.CREATE.{subject}.orderkeep",
        {
            "stream_name": subject,
            "config": {"durable_name": "orderkeep", "ack_policy": "explicit", "max_deliver": 3},
        },
    )
    names = {"nats_url": nats.url, "nats_stream": subject, "nats_subject": subject}
    report = await report_of("jetstream", **urls, source="jetstream", **names)
    broker.wire.ask(f"STREAM.DELETE.{subject}", {})
    assert "kept in memory" in said(report, "jetstream-stream")
    assert f"has to take {subject} alone" in said(report, "jetstream-stream")
    assert "for 60 minutes" in said(report, "jetstream-limits")
    assert "drops its oldest messages" in said(report, "jetstream-limits")
    assert "gives messages up" in said(report, "jetstream-consumer")


async def test_nothing_is_changed(
    empty_database: Database, nats: NatsServer, kafka: KafkaServer, subject: str
) -> None:
    """What is not there is not made: no table, no stream, no topic."""
    url = empty_database.owner_url
    names = {"nats_url": nats.url, "nats_stream": subject, "nats_subject": subject}
    await report_of("jetstream", "database", database_url=url, source="jetstream", **names)
    report = await report_of("kafka", database_url=url, kafka_brokers=kafka.bootstrap, kafka_topic=subject)
    assert "there is no topic" in said(report, "kafka-topic")
    tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
    assert empty_database.value(tables) == 0
    streams = JetStreamBroker(nats, subject, make=False).wire.ask("STREAM.NAMES")["streams"] or []
    assert subject not in streams
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    assert subject not in admin.list_topics().topics
