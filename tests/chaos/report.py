"""The table and the plot of any number of runs."""

import math
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.plot import plot
from tests.chaos.result import SequenceResult

TABLE, PLOT = "faults.md", "recovery.svg"


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def write(folder: Path, results: Sequence[SequenceResult], missing: dict[str, str]) -> None:
    """Write table and plot into `folder`; `missing` are the faults that could not be had, and why."""
    (folder / TABLE).write_text(table(results, missing))
    (folder / PLOT).write_text(plot(recoveries(results)))


def recoveries(results: Sequence[SequenceResult]) -> dict[str, list[float]]:
    """Seconds until healthy by kind of fault, slowest kind first.

    Of faults that nothing else overlapped; of all of the kind, where there are none such.
    """
    runs = [run for result in results for run in result.faults]
    alone = {run.name for run in runs if run.alone and run.recovery is not None}
    found: dict[str, list[float]] = {}
    for run in runs:
        if run.recovery is not None and (run.alone or run.name not in alone):
            found.setdefault(run.name, []).append(run.recovery)
    return dict(sorted(found.items(), key=lambda item: (-quantile(item[1], 0.5), item[0])))


def table(results: Sequence[SequenceResult], missing: dict[str, str]) -> str:
    """Markdown: a summary, a row for each kind of fault, and what failed."""
    lines = [*_summary(results), "", *_kinds(results)]
    if missing:
        lines += ["", "Not possible on this machine:", ""]
        lines += [f"- {name}: {reason}" for name, reason in sorted(missing.items())]
    failed = [result for result in results if not result.ok]
    if failed:
        lines += ["", "Failed:", ""]
        lines += [f"- seed {result.seed}: {'; '.join(result.failures[:3])}" for result in failed]
    return "\n".join(lines) + "\n"


def _summary(results: Sequence[SequenceResult]) -> list[str]:
    proved = [result for result in results if result.lost is not None]
    recovered = [run.recovery for result in results for run in result.faults if run.recovery is not None]
    reads = sum(sum(result.reads.values()) for result in results)
    rows = {
        "sequences": len(results),
        "of them failed": sum(not result.ok for result in results),
        "kinds of fault": len({run.name for result in results for run in result.faults}),
        "faults": sum(len(result.faults) for result in results),
        "messages": sum(result.messages for result in results),
        "lost": sum(result.lost or 0 for result in proved),
        "stored twice": sum(result.twice or 0 for result in proved),
        "reads during the faults and at the end": reads,
        "wrong bytes": sum(result.wrong_bytes for result in results),
        "orders that vanished": sum(result.vanished for result in results),
        "answers 5xx other than 503": sum(result.server_errors for result in results),
    }
    lines = ["| | |", "|---|--:|", *(f"| {name} | {count:,} |" for name, count in rows.items())]
    if recovered:
        times = " / ".join(f"{quantile(recovered, share):.1f}" for share in (0.5, 0.9, 0.99, 1.0))
        lines.append(f"| seconds until healthy, p50 / p90 / p99 / most | {times} |")
    if len(proved) < len(results):
        lines.append(f"| sequences that did not reach the audit | {len(results) - len(proved):,} |")
    return lines


def _kinds(results: Sequence[SequenceResult]) -> list[str]:
    lines = [
        "| fault | runs | messages | lost | stored twice | wrong bytes | p50 | p90 | most |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    times = recoveries(results)
    for name in sorted({run.name for result in results for run in result.faults}):
        with_it = [result for result in results if any(run.name == name for run in result.faults)]
        runs = sum(run.name == name for result in with_it for run in result.faults)
        counts = (
            runs,
            sum(result.messages for result in with_it),
            sum(result.lost or 0 for result in with_it),
            sum(result.twice or 0 for result in with_it),
            sum(result.wrong_bytes for result in with_it),
        )
        seconds = times.get(name)
        cells = [f"{quantile(seconds, share):.1f}" for share in (0.5, 0.9, 1.0)] if seconds else ["-"] * 3
        lines.append(f"| {name} | {' | '.join(f'{count:,}' for count in counts)} | {' | '.join(cells)} |")
    return lines
