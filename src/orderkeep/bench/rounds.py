"""Running what is measured and its limit in turn, and showing how far that has come."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

ROUNDS = 3

Figure = TypeVar("Figure")


class Display:
    """A line on standard error, where that is a terminal: the bench, its step, how many are done."""

    def __init__(self, bench: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bench = bench
        self._task = self._progress.add_task(bench, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, step: str) -> None:
        """What is being done now."""
        self._progress.update(self._task, description=f"{self._bench}: {step}")

    def expect(self, steps: int) -> None:
        """So many steps are still to come, besides those expected before."""
        total = self._progress.tasks[0].total or 0
        self._progress.update(self._task, total=total + steps)

    def done(self) -> None:
        """A step has come to its end."""
        self._progress.advance(self._task)


def in_turn(
    display: Display, runs: Mapping[str, Callable[[str], Figure]], rounds: int = ROUNDS
) -> dict[str, list[Figure]]:
    """Call each of `runs` once a round, and return the figures of each, by its name.

    A run is given a name that no other has: its own with the number of the round.
    """
    figures: dict[str, list[Figure]] = {name: [] for name in runs}
    display.expect(rounds * len(runs))
    for number in range(1, rounds + 1):
        for name, run in runs.items():
            display.say(f"{name}, round {number} of {rounds}")
            figures[name].append(run(f"{name}_{number}"))
            display.done()
    return figures
