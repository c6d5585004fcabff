"""Apache Kafka: the topic, who leads it, and what its settings do to messages that wait."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from orderkeep.settings import Settings

from .check import Sight, Verdict, error, ok, warning
from .times import SHORT_HOURS, period

CLOCK_SECONDS = 60.0
_MINUTE_MS = 60_000


class Partition(NamedTuple):
    """The numbers of brokers; `leader` is None while there is none."""

    number: int
    leader: int | None
    replicas: int
    in_sync: int


class Topic(NamedTuple):
    """`config` is None when this user may not see it. `newest` is its latest timestamp, in seconds."""

    name: str
    partitions: tuple[Partition, ...]
    config: Mapping[str, str] | None
    newest: float | None


class Cluster(NamedTuple):
    """A topic is None when it is not there; the second is that of dead letters, if it is asked for."""

    brokers: int
    topic: Topic | None
    dead_letters: Topic | None


async def cluster(sight: Sight) -> Cluster:
    """Raises `Transient` or `Fatal`."""
    from .kafka_cluster import look  # the client may not be installed

    return await look(sight.settings)


def reached(_settings: Settings, seen: Cluster) -> Verdict:
    return ok(f"Kafka answers: {seen.brokers} {'broker' if seen.brokers == 1 else 'brokers'}")


def topic(settings: Settings, seen: Cluster) -> list[Verdict]:
    if seen.topic is None:
        return [
            error(
                f"there is no topic {settings.kafka_topic!r}", "create it, or correct ORDERKEEP_KAFKA_TOPIC"
            )
        ]
    return _partitions(seen.topic) or [
        ok(f"{seen.topic.name} has {len(seen.topic.partitions)} partitions: so many ingest can share it")
    ]


def dead_letter_topic(settings: Settings, seen: Cluster) -> list[Verdict]:
    if seen.dead_letters is None:
        return [
            error(
                f"there is no topic {settings.kafka_dead_letter_topic!r}: ingest does not start",
                "create it, or correct ORDERKEEP_KAFKA_DEAD_LETTER_TOPIC",
            )
        ]
    return _partitions(seen.dead_letters) or [ok(f"{seen.dead_letters.name} is there")]


def _partitions(seen: Topic) -> list[Verdict]:
    leaderless = [str(each.number) for each in seen.partitions if each.leader is None]
    lagging = [str(each.number) for each in seen.partitions if each.in_sync < each.replicas]
    found = []
    if leaderless:
        found.append(
            error(
                f"partitions of {seen.name} without a leader: {', '.join(leaderless)}", "start their brokers"
            )
        )
    if lagging:
        found.append(
            warning(
                f"partitions of {seen.name} with replicas that are behind: {', '.join(lagging)}",
                "see whether a broker is down or slow",
            )
        )
    return found


def retention(_settings: Settings, seen: Cluster) -> list[Verdict]:
    """What the broker deletes before it was read is lost."""
    if seen.topic is None or seen.topic.config is None:
        return [ok("this user may not see the settings of the topic")]
    config, name = seen.topic.config, seen.topic.name
    found = []
    if "compact" in config["cleanup.policy"]:
        found.append(
            warning(
                f"{name} is compacted: of messages with one key only the last is sure to be read",
                "set cleanup.policy=delete",
            )
        )
    kept_ms, kept_bytes = int(config["retention.ms"]), int(config["retention.bytes"])
    if 0 <= kept_ms < SHORT_HOURS * 60 * _MINUTE_MS:
        found.append(
            warning(
                f"{name} keeps messages for {period(kept_ms / 1000)}: a longer outage of ours loses orders",
                "raise retention.ms to more than an outage, and the age of the oldest backup, may last",
            )
        )
    if kept_bytes >= 0:
        found.append(
            warning(
                f"{name} keeps {kept_bytes:,} bytes of a partition, however short a time that is",
                "set retention.bytes=-1, or be sure that it lasts for an outage",
            )
        )
    kept = "for ever" if kept_ms < 0 else f"for {period(kept_ms / 1000)}"
    return found or [ok(f"{name} keeps messages {kept}")]


def replication(_settings: Settings, seen: Cluster) -> list[Verdict]:
    """Whether what Kafka has confirmed to a sender outlives a broker."""
    if seen.topic is None:
        return [ok("there is no topic")]
    name, copies = seen.topic.name, min(each.replicas for each in seen.topic.partitions)
    found = []
    if copies < 2:
        found.append(
            warning(
                f"{name} has one copy: a broker that is lost takes its messages with it",
                "replicate it over three brokers: kafka-reassign-partitions",
            )
        )
    config = seen.topic.config or {}
    needed = int(config.get("min.insync.replicas", "0"))
    if copies > 1 and needed == 1:
        found.append(
            warning(
                f"min.insync.replicas of {name} is 1: what one broker has counts as stored",
                "set it to 2, and have senders wait for acks=all",
            )
        )
    if needed > min(each.in_sync for each in seen.topic.partitions):
        found.append(
            error(f"{name} takes no messages: fewer than {needed} replicas are in sync", "start the brokers")
        )
    if config.get("unclean.leader.election.enable") == "true":
        found.append(
            warning(
                f"{name} may be led by a replica that lacks messages (unclean.leader.election.enable)",
                "set it to false",
            )
        )
    return found or [ok(f"{name} has {copies} copies, of which {needed or 'an unknown number'} confirm")]


def clock(_settings: Settings, seen: Cluster) -> Verdict:
    newest = seen.topic.newest if seen.topic else None
    if newest is None:
        return ok("Kafka tells no time, and the topic has no messages that would")
    ahead = newest - time.time()
    if ahead > CLOCK_SECONDS:
        return warning(
            f"the newest message is from the future, by {period(ahead)}",
            "synchronise the clocks of senders, brokers and this machine: retention goes by them",
        )
    return ok(f"no message is from the future; the newest is {period(max(0.0, -ahead))} old")
