"""Figures: measured several times, compared by their medians, shown as a table and written as JSON."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.table import Table

from orderkeep.bench.machine import Machine
from orderkeep.errors import ConfigurationError


class Measurement(Struct, frozen=True):
    """One thing measured in every round. `ratio` is of its median to that of the measurement `limit`."""

    what: str
    unit: str
    rounds: list[float]
    median: float
    limit: str | None = None
    ratio: float | None = None


class Result(Struct, frozen=True):
    """What a bench found: measurements by name, and facts that they depend on."""

    measurements: dict[str, Measurement]
    facts: dict[str, Any]


class Report(Struct):
    """Everything of one run. `skipped` gives the reason, by bench."""

    machine: Machine
    results: dict[str, Result]
    skipped: dict[str, str]


class Measurements:
    """The measurements of a bench, in the order in which they are shown."""

    def __init__(self) -> None:
        self.by_name: dict[str, Measurement] = {}

    def add(
        self, name: str, what: str, unit: str, rounds: Sequence[float], *, limit: str | None = None
    ) -> None:
        """`limit` names a measurement added before, in the same unit."""
        median = statistics.median(rounds)
        ratio = None if limit is None else median / self.by_name[limit].median
        self.by_name[name] = Measurement(what, unit, list(rounds), median, limit, ratio)


def table(bench: str, result: Result) -> Table:
    """For people: a line for each measurement, its rounds after the median."""
    shown = Table(title=bench, title_justify="left", title_style="bold", caption_justify="left")
    shown.add_column("", no_wrap=True)
    shown.add_column("median", justify="right")
    shown.add_column("unit")
    shown.add_column("ratio", justify="right")
    shown.add_column("rounds", no_wrap=True)
    for each in result.measurements.values():
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        rounds = "  ".join(map(_number, each.rounds)) if len(each.rounds) > 1 else ""
        shown.add_row(each.what, _number(each.median), each.unit, ratio, rounds)
    shown.caption = "\n".join(f"{name}: {_plain(value)}" for name, value in result.facts.items())
    return shown


def check_writable(output: Path | None) -> None:
    """Raises `ConfigurationError` when `output` cannot be written: better before the work than after it."""
    if output is None:
        return
    try:
        output.open("ab").close()
    except OSError as error:
        raise ConfigurationError(
            f"{output} cannot be written ({error.strerror}): give another file to --output"
        ) from None


def write(report: Report, output: Path | None) -> None:
    """Write the report, complete or not at all. Raises `ConfigurationError`."""
    if output is None:
        return
    unfinished = output.with_name(f".{output.name}.new")
    try:
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        unfinished.replace(output)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from None


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
