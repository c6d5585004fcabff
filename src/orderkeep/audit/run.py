"""The audit itself: read a batch, ask for the rows about it, judge, count."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from orderkeep.errors import Fatal, Rejected
from orderkeep.order import decode

from .broker import AuditedTopic, Record
from .check import Place, judge_erased, judge_order, judge_refused
from .evidence import Evidence, Ranges, evidence_of
from .findings import Findings
from .report import AuditReport
from .topic import plan


async def audit(
    topic: AuditedTopic,
    *,
    database_url: str,
    since: Mapping[int, int] | None = None,
    until: Mapping[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Prove that every message of a topic that a group has acknowledged has its one outcome.

    `since` and `until` limit it to offsets by partition, `until` excluded; without them it goes from the
    beginning to the committed offset. `database_url` is the primary's: a standby may be behind. `progress` is
    told, after each batch, how many offsets are done and how many there are. The report's `clean` is the
    answer. Seen: 37,000 messages a second on two shared cores; two batches of 2,000 are in memory at a time.

    Raises `Fatal` when there is no such topic, the group has acknowledged nothing, the topic is made anew
    while it is read, the database is not migrated, or one of the two servers cannot be reached.
    """
    begun = time.perf_counter()
    state = await asyncio.to_thread(topic.survey)
    spans = plan(state, since or {}, until or {})
    total = sum(span.length for span in spans)
    findings = Findings()
    names = {"kind": state.kind, "topic": state.topic, "incarnation": state.incarnation}
    async with evidence_of(database_url, **names) as evidence:
        async with topic.reader(spans) as reader:
            async for batch in reader.batches():
                await _examine(batch, evidence, findings)
                if progress:
                    progress(sum(reader.positions[span.partition] - span.first for span in spans), total)
        later = await asyncio.to_thread(topic.survey)
        if later.incarnation != state.incarnation:
            raise Fatal(
                f"The topic {state.topic!r} was deleted and made again during the audit. Run it again."
            )
        shortened = [span.partition for span in spans if later.low[span.partition] > span.first]
        if not state.compacted:
            whole = [span for span in spans if span.partition not in shortened]
            await _count_rows(evidence, findings, [(s.partition, s.first, s.next) for s in whole])
        accepted = await evidence.accepted_gaps(topic.group)
    return findings.report(
        state, topic.group, spans, accepted=accepted, shortened=shortened, seconds=time.perf_counter() - begun
    )


async def _examine(batch: Sequence[Record], evidence: Evidence, findings: Findings) -> None:
    """Give every message of a batch its verdict; two queries in all."""
    decoded = [_decoded(record.payload) for record in batch]
    orders, erased = await evidence.orders([uid for uid in decoded if isinstance(uid, str)])
    rejects = await evidence.rejects(_runs(batch))
    for record, uid_or_refusal in zip(batch, decoded, strict=True):
        partition, position = record.partition, record.position
        place = Place(evidence.source, partition, position)
        aside = rejects.get((partition, position), ())
        if isinstance(uid_or_refusal, str):
            row = orders.get(uid_or_refusal)
            verdict = (
                judge_erased(record, row, aside)
                if uid_or_refusal in erased
                else judge_order(record, place, row, aside)
            )
            findings.add(partition, position, uid_or_refusal, verdict)
        else:
            row = None
            findings.add(partition, position, None, judge_refused(record, uid_or_refusal, aside))
        findings.account(partition, place, row, aside)


def _decoded(payload: bytes | None) -> str | Rejected:
    """The uid of an order, or why a message is none."""
    try:
        return decode(payload).order_uid
    except Rejected as refusal:
        return refusal


def _runs(batch: Sequence[Record]) -> Ranges:
    """For each partition of a batch its first and last position."""
    runs: dict[int, tuple[int, int, int]] = {}
    for record in batch:
        _, first, _ = runs.get(record.partition, (record.partition, record.position, record.position))
        runs[record.partition] = (record.partition, first, record.position)
    return list(runs.values())


async def _count_rows(evidence: Evidence, findings: Findings, spans: Ranges) -> None:
    """Look for rows that no message explains, by counting: nothing is known about each of them."""
    for table, rows in (await evidence.counts(spans)).items():
        findings.add_counts(table, rows)
