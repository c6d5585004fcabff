"""What a run of the cluster found: as an object for programs, as a table for people."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import quantiles
from typing import Any

from rich.table import Table


@dataclass
class Restarted:
    """One part, restarted: `seconds` until it was whole and an order sent afterwards was served.

    `longest_gap` is the longest time without a commit in these seconds.
    """

    part: str
    how: str
    began: float
    seconds: float = 0.0
    longest_gap: float = 0.0


@dataclass
class Report:
    """Seconds and counts; `failures` is empty when nothing was lost and no read failed."""

    seconds: float = 0.0
    published: int = 0
    audit: dict[str, int] = field(default_factory=dict)
    restarts: list[Restarted] = field(default_factory=list)
    longest_gap: float = 0.0
    reads: int = 0
    failed_reads: int = 0
    repeated_reads: int = 0
    read_back: int = 0
    until_served: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.failures

    def note_gaps(self, commits: Sequence[float]) -> None:
        """`commits` are the times of all, in seconds since 1970 and in their order."""
        gaps = [(before, after - before) for before, after in pairwise(commits)]
        self.longest_gap = max((gap for _, gap in gaps), default=0.0)
        for each in self.restarts:
            end = each.began + each.seconds
            within = [gap for at, gap in gaps if at < end and at + gap > each.began]
            each.longest_gap = max(within, default=0.0)

    def note_delays(self, delays: Sequence[float]) -> None:
        """`delays` are seconds from the broker's confirmation of an order until it was served."""
        if len(delays) > 1:
            cuts = quantiles(delays, n=100)
            self.until_served = {"p50": cuts[49], "p99": cuts[98], "longest": max(delays)}

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **_rounded(asdict(self))}

    def table(self) -> Table:
        """Every restart, in the order of the run."""
        table = Table("part", "how", "seconds", "longest gap of commits")
        for each in self.restarts:
            table.add_row(each.part, each.how, f"{each.seconds:.1f}", f"{each.longest_gap:.1f} s")
        return table

    def lines(self) -> list[str]:
        """What was found, in sentences."""
        counts = ", ".join(f"{number:,} {name}" for name, number in self.audit.items())
        delays = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.until_served.items())
        return [
            f"{self.published:,} messages published in {self.seconds:.0f} s; the audit: {counts}",
            f"{self.reads:,} reads through nginx, {self.failed_reads:,} failed, {self.repeated_reads:,} "
            f"asked again on a new connection; {self.read_back:,} orders read back at the end",
            f"longest gap of commits {self.longest_gap:.1f} s; from the broker to the reader: {delays}",
            *(f"FAILED: {failure}" for failure in self.failures),
        ]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
