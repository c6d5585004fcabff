"""What the doctor judges of what it has seen, for what no server of the tests can be brought to."""

import json
import time
from typing import Any

import pytest

from orderkeep.doctor import checks, jetstream, kafka, lag, machine, postgres, redis, stan
from orderkeep.doctor.check import Severity, Verdict
from orderkeep.doctor.database import Database
from orderkeep.doctor.report import EXIT_CODES, Finding, Report
from orderkeep.doctor.settings import contradictions
from orderkeep.settings import Settings
from tests.documents import name_in, rows

SETTINGS = Settings(_env_file=None)
SERVER: dict[str, Any] = {
    "version": "18.6 (Debian 18.6-1)",
    "user": "ingest",
    "standby": False,
    "system": "7",
    "database": 1,
    "notification_queue": 0.0,
    "replayed_seconds_ago": None,
    "replaying": False,
    "migrated": True,
}
SERVER_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
    "autovacuum": "on",
    "max_connections": "100",
    "superuser_reserved_connections": "3",
}
ACTIVITY = {
    "connections": 1,
    "standbys": 0,
    "oldest_transaction": 1,
    "longest_seconds": 0.0,
    "bytes": 1,
    "local": False,
}
DATABASE = Database(SERVER, SERVER_SETTINGS, ACTIVITY, {}, (), (), 0.0, 0.01, proxied=False)


def database(
    server: dict[str, Any] | None = None,
    settings: dict[str, str] | None = None,
    activity: dict[str, Any] | None = None,
    **others: Any,
) -> Database:
    """One that is right in all but this."""
    return DATABASE._replace(
        server=SERVER | (server or {}),
        settings=SERVER_SETTINGS | (settings or {}),
        activity=ACTIVITY | (activity or {}),
        **others,
    )


def severity(judged: Verdict | list[Verdict]) -> Severity:
    """The worst; whatever is not ok says what to do."""
    verdicts = [judged] if isinstance(judged, Verdict) else judged
    assert all(bool(each.remedy) == (each.severity != "ok") for each in verdicts)
    return max((each.severity for each in verdicts), key=lambda one: EXIT_CODES[one])


@pytest.mark.parametrize(
    ("judge", "seen", "expected"),
    [
        (postgres.version, database(), "ok"),
        (postgres.version, database({"version": "19beta1"}), "ok"),
        (postgres.version, database({"version": "13.4"}), "error"),
        (postgres.direct, database(), "ok"),
        (postgres.direct, database(proxied=True), "warning"),
        (postgres.durability, database(), "ok"),
        (postgres.durability, database(settings={"full_page_writes": "off"}), "warning"),
        (postgres.commits, database(settings={"synchronous_commit": "off"}), "warning"),
        (postgres.commits, database(settings={"synchronous_standby_names": "db2"}), "error"),
        (
            postgres.commits,
            database(settings={"synchronous_standby_names": "db2"}, activity={"standbys": 1}),
            "ok",
        ),
        (postgres.notifications, database({"notification_queue": 0.6}), "error"),
        (postgres.connections, database(), "ok"),
        (postgres.connections, database(settings={"max_connections": "20"}), "error"),
        (postgres.connections, database(activity={"connections": 95}), "warning"),
        (postgres.transactions, database(), "ok"),
        (postgres.transactions, database(activity={"oldest_transaction": 600_000_000}), "warning"),
        (postgres.transactions, database(activity={"oldest_transaction": 1_600_000_000}), "error"),
        (postgres.transactions, database(activity={"longest_seconds": 7200.0}), "warning"),
        (postgres.transactions, database(settings={"autovacuum": "off"}), "warning"),
        (postgres.clock, database(clock_ahead=-1.5), "ok"),
        (postgres.clock, database(clock_ahead=-9.0), "warning"),
        (postgres.clock, database(clock_ahead=9.0, round_trip=20.0), "ok"),
        (postgres.read_replica, (database(), database({"standby": True})), "ok"),
        (postgres.read_replica, (database(), database({"system": "8"})), "error"),
        (
            postgres.read_replica,
            (database(), database({"standby": True, "replaying": True, "replayed_seconds_ago": 90.0})),
            "warning",
        ),
    ],
)
def test_postgres(judge: Any, seen: Any, expected: Severity) -> None:
    """What is wrong with a PostgreSQL is judged by how bad it is."""
    assert severity(judge(SETTINGS, seen)) == expected


TOPIC = kafka.Topic(
    "orders",
    (kafka.Partition(0, 1, 3, 3), kafka.Partition(1, 2, 3, 3)),
    {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "retention.bytes": "-1",
        "min.insync.replicas": "2",
        "unclean.leader.election.enable": "false",
    },
    None,
)
LEADERLESS = TOPIC._replace(partitions=(kafka.Partition(0, None, 3, 1),))


@pytest.mark.parametrize(
    ("judge", "topic", "expected"),
    [
        (kafka.topic, TOPIC, "ok"),
        (kafka.topic, LEADERLESS, "error"),
        (kafka.topic, TOPIC._replace(partitions=(kafka.Partition(0, 1, 3, 2),)), "warning"),
        (kafka.replication, TOPIC, "ok"),
        (kafka.replication, LEADERLESS, "error"),
        (kafka.replication, TOPIC._replace(config={"min.insync.replicas": "1"}), "warning"),
        (kafka.replication, TOPIC._replace(config=None), "ok"),
        (kafka.retention, TOPIC, "ok"),
        (kafka.retention, TOPIC._replace(config=None), "ok"),
        (kafka.clock, TOPIC, "ok"),
        (kafka.clock, TOPIC._replace(newest=time.time() - 60), "ok"),
        (kafka.clock, TOPIC._replace(newest=time.time() + 3600), "warning"),
    ],
)
def test_kafka(judge: Any, topic: kafka.Topic, expected: Severity) -> None:
    """What is wrong with a topic is judged by how bad it is."""
    assert severity(judge(SETTINGS, kafka.Cluster(3, topic, None))) == expected


STREAM = {"config": {"storage": "file", "subjects": ["orders"]}, "state": {"messages": 9, "bytes": 9}}
JETSTREAM = jetstream.JetStream("2.15.1", {}, STREAM, None, 0.0)
FULL = {"messages": 9, "bytes": 90}


@pytest.mark.parametrize(
    ("judge", "seen", "expected"),
    [
        (jetstream.reached, JETSTREAM._replace(version="2.9.24"), "warning"),
        (jetstream.stream, JETSTREAM._replace(stream=None), "warning"),
        (jetstream.stream, JETSTREAM, "ok"),
        (
            jetstream.limits,
            JETSTREAM._replace(stream={"config": {"max_bytes": 100, "discard": "new"}, "state": FULL}),
            "warning",
        ),
        (
            jetstream.limits,
            JETSTREAM._replace(stream={"config": {"max_msgs_per_subject": 1}, "state": FULL}),
            "error",
        ),
        (
            jetstream.storage,
            JETSTREAM._replace(account={"storage": 90, "limits": {"max_storage": 100}}),
            "warning",
        ),
        (jetstream.clock, JETSTREAM._replace(clock_ahead=5.0), "warning"),
        (jetstream.clock, JETSTREAM._replace(clock_ahead=None), "ok"),
        (
            jetstream.consumer,
            JETSTREAM._replace(consumer={"config": {"ack_policy": "explicit", "inactive_threshold": 5e9}}),
            "warning",
        ),
    ],
)
def test_jetstream(judge: Any, seen: jetstream.JetStream, expected: Severity) -> None:
    """What is wrong with a stream is judged by how bad it is."""
    assert severity(judge(SETTINGS, seen)) == expected


def positions(low: int, end: int, acknowledged: int | None) -> lag.Positions:
    return lag.Positions({0: low}, {0: end}, {} if acknowledged is None else {0: acknowledged}, 0)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (positions(0, 0, None), "ok"),
        (positions(0, 5, None), "warning"),
        (positions(0, 5, 5), "ok"),
        (positions(0, 500_000, 5), "warning"),
        (positions(7, 9, 5), "error"),
        (positions(0, 4, 5), "error"),
        (lag.Positions({0: 0, 1: 3}, {0: 5, 1: 3}, {0: 5}, 0), "ok"),
    ],
)
def test_lag(seen: lag.Positions, expected: Severity) -> None:
    """What waits is counted; what was deleted or cut off before it was stored is an error."""
    assert severity(lag.lag(SETTINGS, seen)) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (positions(1, 5, 5), "ok"),
        (positions(2, 5, 5), "warning"),
        (positions(1, 900_000, 5), "warning"),
    ],
)
def test_limits_of_a_channel(seen: lag.Positions, expected: Severity) -> None:
    """A channel that has dropped messages, or is about to by the server's default, is a warning."""
    assert severity(stan.limits(SETTINGS, seen)) == expected


@pytest.mark.parametrize(
    ("judge", "info", "expected"),
    [
        (redis.reached, {"role": "master"}, "ok"),
        (redis.reached, {"role": "slave"}, "error"),
        (redis.memory, {"maxmemory": 9, "maxmemory_policy": "allkeys-lru", "used_memory": 1}, "ok"),
        (redis.memory, {"maxmemory": 9, "maxmemory_policy": "noeviction", "used_memory": 1}, "warning"),
    ],
)
def test_redis(judge: Any, info: dict[str, Any], expected: Severity) -> None:
    """A Redis that takes no writes, now or once it is full, is told."""
    assert severity(judge(SETTINGS, info)) == expected


@pytest.mark.parametrize(
    ("judge", "seen", "expected"),
    [
        (machine.open_files, machine.Machine(20_000, 0), "ok"),
        (machine.open_files, machine.Machine(1_024, 0), "warning"),
        (machine.open_files, machine.Machine(200, 0), "error"),
        (machine.memory, machine.Machine(0, 8 * 1024**3), "ok"),
        (machine.memory, machine.Machine(0, 256 * 1024**2), "warning"),
    ],
)
def test_machine(judge: Any, seen: machine.Machine, expected: Severity) -> None:
    """A machine that is too small is told, with what to raise or to lower."""
    assert severity(judge(SETTINGS, seen)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "ok"),
        ({"http_host": "0.0.0.0"}, "error"),
        ({"http_port": 8081}, "error"),
        ({"source": "stan", "kafka_dead_letter_topic": "dead"}, "error"),
        ({"kafka_topic": "parcels", "source": "jetstream"}, "warning"),
        ({"nats_stream": "parcels", "source": "stan"}, "warning"),
        ({"nats_subject": "parcels", "source": "stan"}, "ok"),
        ({"redis_url": "redis://cache"}, "warning"),
        ({"redis_url": "redis://cache", "cache": "both"}, "ok"),
    ],
)
def test_contradictions(given: dict[str, Any], expected: Severity) -> None:
    """Settings that cannot be together, or have no effect together, are told."""
    settings = Settings(_env_file=None, **given)
    assert severity(contradictions(settings, settings)) == expected


def test_every_check_is_documented() -> None:
    """The table of checks has every check in the order of the report, and no other."""
    assert [name_in(cells[0]) for cells in rows("docs/doctor.md", "Checks")] == [
        check.name for check in checks.CHECKS
    ]


def test_every_severity_is_documented() -> None:
    """The table of severities has each with its exit code."""
    listed = {name_in(cells[0]): int(cells[2]) for cells in rows("docs/doctor.md", "What it answers")}
    assert listed == EXIT_CODES


def test_every_neighbour_is_opened_once() -> None:
    """A look that may fail is told by one check, in words of its own."""
    opened = [check.look for check in checks.CHECKS if check.opens]
    assert len(opened) == len(set(opened))
    assert {*lag.BROKERS.values(), redis.server} <= set(opened)


def test_report() -> None:
    """The exit code is that of the worst finding; what was skipped for one reason is one line."""
    report = Report(
        [
            Finding("a", "ok", "fine"),
            Finding("b", "warning", "odd", "look"),
            Finding("c", "skipped", "away"),
            Finding("d", "skipped", "away"),
        ],
        0.1,
    )
    assert report.exit_code == 1
    told = json.loads(report.json())
    assert (told["exit_code"], told["ok"], told["warning"], told["skipped"]) == (1, 1, 1, 2)
    assert told["findings"][1] == {"check": "b", "severity": "warning", "what": "odd", "remedy": "look"}
    table = report.table(width=80)
    assert "c, d: away" in table
    assert "→ look" in table
