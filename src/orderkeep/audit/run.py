"""The audit itself: read a batch, ask for the rows about it, judge, count."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Message

from orderkeep.errors import ConfigurationError, Fatal, Rejected
from orderkeep.order import decode

from .check import OrderRow, Place, RejectRow, Verdict, judge_order, judge_refused
from .evidence import Evidence, Ranges, evidence_of
from .reader import Reader
from .report import LISTED_PROBLEMS, AuditReport, PartitionAudit, Problem
from .topic import Span, TopicState, plan, survey
from .unseen import unseen


class Findings:
    """What was counted so far."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.messages: Counter[int] = Counter()
        """By partition."""
        self.accounted: dict[str, Counter[int]] = {"orders": Counter(), "rejected_messages": Counter()}
        """By table and partition, the rows that say they come from a message that was read, and do."""
        self.extra = 0
        self.unreadable_headers = 0
        self.problems: list[Problem] = []

    def add(self, partition: int, offset: int, uid: str | None, verdict: Verdict) -> None:
        """Count a message and its outcome."""
        self.messages[partition] += 1
        self.outcomes[verdict.outcome] += 1
        self.unreadable_headers += verdict.headers_unreadable
        if verdict.reason:
            self._name(Problem(partition, offset, uid, verdict.reason))

    def add_extra(self, table: str, partition: int, rows: int) -> None:
        """Count rows that claim offsets of a partition and are not about the messages there."""
        self.extra += rows
        reason = f"{rows:,} rows of {table} claim audited offsets and are not the outcome of a message there"
        self._name(Problem(partition, None, None, reason))

    def _name(self, problem: Problem) -> None:
        if len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(problem)


async def audit(
    *,
    brokers: str,
    kafka_options: Mapping[str, str],
    topic: str,
    group: str,
    database_url: str,
    since: Mapping[int, int] | None = None,
    until: Mapping[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Prove that every message of a topic that a group has acknowledged has its one outcome.

    `since` and `until` limit it to offsets by partition, `until` excluded; without them it goes from the
    beginning to the committed offset. `progress` is told, after each batch, how many offsets are done and how
    many there are. The report's `clean` is the answer.

    Raises `Fatal` when there is no such topic, the group has acknowledged nothing, the topic is made anew
    while it is read, the database is not migrated, or one of the two servers cannot be reached.
    """
    begun = time.perf_counter()
    state = await asyncio.to_thread(survey, brokers, kafka_options, topic, group)
    if not state.committed:
        raise ConfigurationError(
            f"The group {group!r} has acknowledged nothing of topic {topic!r}. "
            "Run `orderkeep ingest` first, or set ORDERKEEP_KAFKA_GROUP."
        )
    spans = plan(state, since or {}, until or {})
    findings = Findings()
    async with evidence_of(database_url, topic=topic, incarnation=state.incarnation) as evidence:
        async with Reader(brokers, kafka_options, topic, spans) as reader:
            total = sum(map(len, spans))
            async for batch in reader.batches():
                await _examine(batch, evidence, findings)
                if progress:
                    progress(sum(reader.positions[span.partition] - span.first for span in spans), total)
        later = await asyncio.to_thread(survey, brokers, kafka_options, topic, group)
        if later.incarnation != state.incarnation:
            raise Fatal(f"The topic {topic!r} was deleted and made again during the audit. Run it again.")
        shortened = [span.partition for span in spans if later.low[span.partition] > span.first]
        if not state.compacted:
            await _look_for_extra(evidence, findings, [s for s in spans if s.partition not in shortened])
    return _report(state, group, spans, findings, shortened, time.perf_counter() - begun)


async def _examine(batch: Sequence[Message], evidence: Evidence, findings: Findings) -> None:
    read = [_decoded(message) for message in batch]
    orders = await evidence.orders([what for what in read if isinstance(what, str)])
    rejects = await evidence.rejects(_runs(batch))
    for message, what in zip(batch, read, strict=True):
        partition, offset = _position(message)
        place = Place(evidence.source, partition, offset)
        kept_aside = rejects.get((partition, offset), [])
        row = orders.get(what) if isinstance(what, str) else None
        if isinstance(what, str):
            findings.add(partition, offset, what, judge_order(message, place, row, kept_aside))
        else:
            findings.add(partition, offset, None, judge_refused(message, what, kept_aside))
        _account(findings, place, row, kept_aside)


def _decoded(message: Message) -> str | Rejected:
    """The uid of an order, or why a message is none."""
    try:
        return decode(message.value()).order_uid
    except Rejected as refusal:
        return refusal


def _position(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None and offset is not None, "a message that was read has a place"
    return partition, offset


def _runs(batch: Sequence[Message]) -> Ranges:
    """For each partition of a batch its first and last position."""
    runs: dict[int, tuple[int, int, int]] = {}
    for message in batch:
        partition, offset = _position(message)
        first = runs[partition][1] if partition in runs else offset
        runs[partition] = (partition, first, offset)
    return list(runs.values())


def _account(findings: Findings, place: Place, row: OrderRow | None, rejects: Sequence[RejectRow]) -> None:
    """Rows that were looked at beside their message are no surplus, whatever was found wrong with them."""
    assert place.partition is not None
    if row is not None and row.place == place:
        findings.accounted["orders"][place.partition] += 1
    if rejects:
        findings.accounted["rejected_messages"][place.partition] += len(rejects)


async def _look_for_extra(evidence: Evidence, findings: Findings, spans: Sequence[Span]) -> None:
    counted = await evidence.counts([(span.partition, span.first, span.next) for span in spans])
    for table, rows in counted.items():
        for partition in sorted(rows):
            surplus = rows[partition] - findings.accounted[table][partition]
            if surplus > 0:
                findings.add_extra(table, partition, surplus)


def _report(
    state: TopicState,
    group: str,
    spans: Sequence[Span],
    findings: Findings,
    shortened: Sequence[int],
    seconds: float,
) -> AuditReport:
    outcomes, messages = findings.outcomes, findings.messages.total()
    return AuditReport(
        topic=state.topic,
        incarnation=state.incarnation,
        group=group,
        messages=messages,
        stored=outcomes["stored"],
        duplicate=outcomes["duplicate"],
        rejected=outcomes["rejected"],
        conflict=outcomes["conflict"],
        missing=outcomes["missing"] + outcomes["wrong"],
        wrong=outcomes["wrong"],
        extra=findings.extra,
        problems=findings.problems,
        unseen=unseen(
            state,
            spans,
            messages=findings.messages,
            shortened=shortened,
            unreadable_headers=findings.unreadable_headers,
        ),
        partitions=[
            PartitionAudit(
                partition=span.partition,
                first=span.first,
                next=span.next,
                messages=findings.messages[span.partition],
                gaps=len(span) - findings.messages[span.partition],
                deleted=span.deleted,
                unacknowledged=span.unacknowledged,
            )
            for span in spans
        ],
        seconds=round(seconds, 3),
        messages_per_second=round(messages / seconds, 1),
    )
