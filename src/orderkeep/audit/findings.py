"""What an audit has counted so far, and the report made of it."""

from collections import Counter
from collections.abc import Sequence

from .check import OrderRow, Place, RejectRow, Verdict
from .report import LISTED_PROBLEMS, AuditReport, PartitionAudit, Problem
from .topic import Span, TopicState
from .unseen import AcceptedGap, unseen


class Findings:
    """Grows by a message at a time; holds counts and the first problems, never messages."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._messages: Counter[int] = Counter()
        self._accounted: dict[str, Counter[int]] = {"orders": Counter(), "rejected_messages": Counter()}
        self._extra = 0
        self._unreadable_headers = 0
        self._discarded = 0
        self._problems: list[Problem] = []

    def add(self, partition: int, offset: int, uid: str | None, verdict: Verdict) -> None:
        """Count a message and its outcome."""
        self._messages[partition] += 1
        self._outcomes[verdict.outcome] += 1
        self._unreadable_headers += verdict.headers_unreadable
        if verdict.reason:
            self._name(Problem(partition, offset, uid, verdict.reason))

    def account(
        self, partition: int, place: Place, row: OrderRow | None, rejects: Sequence[RejectRow]
    ) -> None:
        """Rows that were seen beside their message are not extra, whatever was found wrong with them."""
        if row is not None and row.place == place:
            self._accounted["orders"][partition] += 1
        if rejects:
            self._accounted["rejected_messages"][partition] += len(rejects)
            self._discarded += sum(reject.discarded for reject in rejects)

    def add_counts(self, table: str, rows: dict[int, int]) -> None:
        """Compare how many rows of a table claim audited offsets, by partition, with those accounted for."""
        for partition in sorted(rows):
            extra = rows[partition] - self._accounted[table][partition]
            if extra > 0:
                self._extra += extra
                reason = f"{extra:,} more rows of {table} come from these offsets than messages there explain"
                self._name(Problem(partition, None, None, reason))

    def _name(self, problem: Problem) -> None:
        if len(self._problems) < LISTED_PROBLEMS:
            self._problems.append(problem)

    def report(
        self,
        state: TopicState,
        group: str,
        spans: Sequence[Span],
        *,
        accepted: Sequence[AcceptedGap],
        shortened: Sequence[int],
        seconds: float,
    ) -> AuditReport:
        """Sum up. A person has `accepted` gaps in the topic.

        Retention deleted the beginning of the partitions `shortened` while they were read.
        """
        outcomes, messages = self._outcomes, self._messages.total()
        partitions = [self._partition(span) for span in spans]
        return AuditReport(
            topic=state.topic,
            incarnation=state.incarnation,
            group=group,
            messages=messages,
            stored=outcomes["stored"],
            duplicate=outcomes["duplicate"],
            rejected=outcomes["rejected"],
            conflict=outcomes["conflict"],
            erased=outcomes["erased"],
            missing=outcomes["missing"] + outcomes["wrong"],
            wrong=outcomes["wrong"],
            extra=self._extra,
            problems=self._problems,
            unseen=unseen(
                state,
                spans,
                gaps=sum(each.gaps for each in partitions),
                accepted=accepted,
                shortened=shortened,
                unreadable_headers=self._unreadable_headers,
                discarded=self._discarded,
            ),
            partitions=partitions,
            seconds=round(seconds, 3),
            messages_per_second=round(messages / seconds, 1),
        )

    def _partition(self, span: Span) -> PartitionAudit:
        messages = self._messages[span.partition]
        return PartitionAudit(
            partition=span.partition,
            first=span.first,
            next=span.next,
            messages=messages,
            gaps=span.length - messages,
            deleted=span.deleted,
            unacknowledged=span.unacknowledged,
        )
