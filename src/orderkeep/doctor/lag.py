"""How far ingest is behind the broker, and whether what it has to read next is still there."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from orderkeep.settings import Settings

from . import database, jetstream, kafka, stan
from .check import Look, Sight, Verdict, error, ok, warning

BROKERS: Final[dict[str, Look[Any]]] = {
    "kafka": kafka.cluster,
    "jetstream": jetstream.server,
    "stan": stan.server,
}
"""The look that is taken at each broker."""

MANY = 100_000
"""Messages: a few seconds' work, more than a burst leaves."""


class Positions(NamedTuple):
    """By partition, of the broker: the first position that is left, the one behind the last, and the one that
    ingest has acknowledged all before; `first` is where the very first message was."""

    low: Mapping[int, int]
    end: Mapping[int, int]
    acknowledged: Mapping[int, int]
    first: int


async def positions(sight: Sight) -> Positions:
    """As the audit asks for them. Raises `Transient` or `Fatal`, at once when the broker does not answer."""
    from orderkeep.brokers import audited_topic

    await sight.see(BROKERS[sight.settings.source])
    if sight.settings.source == "stan":  # only the database knows what was acknowledged
        await sight.see(database.read_server)
    topic = audited_topic(sight.settings)
    seen = await asyncio.to_thread(topic.look)
    return Positions(seen.low, seen.end, seen.committed, seen.first)


def lag(settings: Settings, seen: Positions) -> list[Verdict]:
    if not seen.acknowledged:
        waiting = sum(seen.end[each] - seen.low[each] for each in seen.end)
        if not waiting:
            return [ok(f"{settings.group} has acknowledged nothing, and nothing waits")]
        return [
            warning(
                f"{settings.group} has acknowledged nothing, and up to {waiting:,} messages wait",
                f"start `orderkeep ingest`, unless {settings.group} is not the name that it runs under",
            )
        ]
    behind = {each: seen.end[each] - _reached(seen, each) for each in seen.end}
    waiting = sum(max(0, messages) for messages in behind.values())
    found = [*_deleted(seen), *_cut_off(seen, behind)]
    if waiting > MANY:
        found.append(
            warning(
                f"{waiting:,} messages wait in {sum(map(bool, behind.values()))} of {len(behind)} partitions",
                "see that ingest runs and what it logs; start more of it if it is only slow",
            )
        )
    return found or [ok(f"{waiting:,} messages wait")]


def _reached(seen: Positions, partition: int) -> int:
    return seen.acknowledged.get(partition, seen.first)


def _deleted(seen: Positions) -> list[Verdict]:
    """A partition that was never read begins where the broker begins: what went before is not missed."""
    lost = sum(max(0, low - seen.acknowledged.get(each, low)) for each, low in seen.low.items())
    if not lost:
        return []
    return [
        error(
            f"{lost:,} messages were deleted before they were stored: ingest stops there",
            "have the gap recorded with `orderkeep ingest --accept-gap`, and keep messages longer",
        )
    ]


def _cut_off(seen: Positions, behind: Mapping[int, int]) -> list[Verdict]:
    ahead = [str(each) for each, messages in behind.items() if messages < 0 and each in seen.acknowledged]
    if not ahead:
        return []
    return [
        error(
            f"the broker has less than was acknowledged, in partitions {', '.join(ahead)}: it lost its end",
            "see what happened to the broker; `orderkeep ingest --accept-gap` goes on with what is there",
        )
    ]
