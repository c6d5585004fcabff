"""The result: for people a table, for machines JSON, and the exit code."""

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .check import Severity

EXIT_CODES: Final[dict[Severity, int]] = {"ok": 0, "skipped": 0, "warning": 1, "error": 2}
"""By the worst finding. What is skipped is so because of an error, which counts."""
_STYLES: Final[dict[Severity, str]] = {
    "ok": "green",
    "skipped": "dim",
    "warning": "yellow",
    "error": "bold red",
}


class Finding(Struct, frozen=True):
    """`remedy` is empty where nothing is to be done."""

    check: str
    severity: Severity
    what: str
    remedy: str = ""


class Report(Struct, frozen=True):
    """All findings, in the order of the checks; `seconds` is how long it took."""

    findings: list[Finding]
    seconds: float

    @property
    def exit_code(self) -> int:
        return max((EXIT_CODES[finding.severity] for finding in self.findings), default=0)

    @classmethod
    def of_mistakes(cls, mistakes: Sequence[str]) -> "Report":
        """Of settings that cannot be read: nothing else is looked at."""
        return cls([Finding("settings", "error", each, "see `orderkeep config`") for each in mistakes], 0.0)

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def json(self) -> str:
        """One object, with `exit_code` and the number of each severity beside the findings."""
        counts = {severity: self.count(severity) for severity in EXIT_CODES}
        whole = {"exit_code": self.exit_code, **counts, **msgspec.to_builtins(self)}
        return msgspec.json.encode(whole).decode()

    def table(self, *, color: bool = False, width: int | None = None) -> str:
        """For people: a line for each finding, and what to do under it."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in (each for each in self.findings if each.severity != "skipped"):
            text = Text(finding.what)
            if finding.remedy:
                text.append(f"\n→ {finding.remedy}")
            table.add_row(Text(finding.severity, style=_STYLES[finding.severity]), finding.check, text)
        for reason, checks in self._skipped().items():
            table.add_row(Text("skipped", style=_STYLES["skipped"]), "", f"{', '.join(checks)}: {reason}")
        output = io.StringIO()
        console = Console(file=output, width=width or max(100, Console().width), force_terminal=color or None)
        console.print(table)
        console.print(self._summary())
        return output.getvalue()

    def _skipped(self) -> dict[str, list[str]]:
        """The checks that were skipped, by the reason, which many have in common."""
        found: dict[str, list[str]] = defaultdict(list)
        for finding in self.findings:
            if finding.severity == "skipped":
                found[finding.what].append(finding.check)
        return found

    def _summary(self) -> str:
        counts = ", ".join(f"{self.count(severity)} {severity}" for severity in EXIT_CODES)
        return f"\n{counts}, in {self.seconds:.1f} s"
