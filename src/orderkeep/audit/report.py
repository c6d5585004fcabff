"""What an audit found: the counts, the problems by name, and what could not be seen."""

from msgspec import Struct

LISTED_PROBLEMS = 20
"""So many are named; all are counted."""


class Problem(Struct, frozen=True):
    """A message without its one right outcome; `offset` is None when rows, not a message, are at fault."""

    partition: int
    offset: int | None
    order_uid: str | None
    reason: str

    def __str__(self) -> str:
        place = f"partition {self.partition}"
        if self.offset is not None:
            place += f", offset {self.offset}"
        if self.order_uid is not None:
            place += f", order {self.order_uid}"
        return f"{place}: {self.reason}"


class PartitionAudit(Struct, frozen=True):
    """The audited offsets of a partition: from `first` up to, and not with, `next`.

    `gaps` are offsets among them that hold no message. `deleted` offsets before `first` were removed by
    retention; `unacknowledged` offsets follow the committed one.
    """

    partition: int
    first: int
    next: int
    messages: int
    gaps: int
    deleted: int
    unacknowledged: int


class AuditReport(Struct, frozen=True, kw_only=True):
    """The result for one topic and consumer group; `msgspec.json.encode` makes JSON of it.

    messages = stored + duplicate + rejected + conflict + erased + missing. `erased` are those of orders that
    somebody had erased. `missing` are the messages without exactly one right outcome; `wrong` says how many
    of those have an outcome that contradicts what they are.
    `extra` are rows that claim an audited offset and are not the outcome of a message there.
    """

    topic: str
    incarnation: str
    group: str
    messages: int
    stored: int
    duplicate: int
    rejected: int
    conflict: int
    erased: int
    missing: int
    wrong: int
    extra: int
    problems: list[Problem]
    unseen: list[str]
    partitions: list[PartitionAudit]
    seconds: float
    messages_per_second: float

    @property
    def clean(self) -> bool:
        """Whether every message has its outcome, and every row its message."""
        return not (self.missing or self.extra)

    def lines(self) -> list[str]:
        """The report for people, a line each."""
        found = self.missing + self.extra
        erased = f"erased {self.erased:,}, " if self.erased else ""
        lines = [
            f"{self.messages:,} messages of {self.topic}, as far as {self.group} has acknowledged them",
            f"stored {self.stored:,}, duplicate {self.duplicate:,}, rejected {self.rejected:,}, "
            f"conflict {self.conflict:,}, {erased}missing {self.missing:,}",
            *(f"problem: {problem}" for problem in self.problems),
        ]
        if found > len(self.problems):
            lines.append(f"problem: {found:,} in all; the first {len(self.problems)} are named")
        lines += [f"not seen: {sentence}" for sentence in self.unseen]
        lines.append(
            "every message has exactly one outcome, and its content is the same"
            if self.clean
            else f"NOT CLEAN: {self.missing:,} messages without a right outcome, {self.extra:,} rows too many"
        )
        return lines
