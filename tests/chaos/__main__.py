"""`python -m tests.chaos`: random faults under load on real servers, and the proof that nothing was lost."""

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.status import Status

from orderkeep.errors import Fatal
from tests.chaos import report, result
from tests.chaos.fault import Fault
from tests.chaos.faults import available
from tests.chaos.plan import Plan, draw_plan, seeds
from tests.chaos.result import SequenceResult
from tests.chaos.sequence import Sequence
from tests.chaos.servers import Servers

MESSAGES, RATE = 50_000, 2_500.0
LIMIT = 30.0
"""Seconds: the service promises to be healthy again within them."""


def main() -> int:
    """Exit code: 0 when nothing failed, 1 when a sequence did, 2 when the servers could not be had."""
    arguments = _arguments()
    console = Console(highlight=False)
    if arguments.list:
        return _list(console, arguments.only)
    if arguments.summarise:
        return _summarise(console, arguments)
    kinds, missing = available(arguments.only)
    for name, reason in missing.items():
        console.print(f"left out: {name}: {reason}")
    if not kinds:
        console.print(f"no fault has {arguments.only!r} in its name, or none can be had here: see --list")
        return 2
    try:
        with _stop_on_signal() as stop:
            results = _Run(arguments, kinds, console, stop).go()
    except Fatal as error:
        console.print(f"the servers could not be had: {error}")
        return 2
    report.write(arguments.report, results, missing)
    console.print(report.table(results, missing))
    console.print(f"report: {arguments.report}")
    return 1 if any(not each.ok for each in results) else 0


class _Run:
    """Sequences one after the other on the same servers."""

    def __init__(
        self, arguments: argparse.Namespace, kinds: list[Fault], console: Console, stop: threading.Event
    ) -> None:
        self._arguments, self._kinds, self._console, self._stop = arguments, kinds, console, stop
        self._status = Status("", console=console)
        self._folder: Path = arguments.report
        self._folder.mkdir(parents=True, exist_ok=True)

    def go(self) -> list[SequenceResult]:
        """Run until there are enough, the time is over, or somebody stops it."""
        first = self._arguments.seed if self._arguments.seed is not None else random.randrange(2**31)
        self._console.print(f"seed {first}; {len(self._kinds)} kinds of fault; report in {self._folder}")
        with self._terminal(), self._servers() as servers:
            return list(self._sequences(servers, first))

    def _sequences(self, servers: Servers, first: int) -> Iterator[SequenceResult]:
        end = time.monotonic() + self._arguments.minutes * 60
        for number, seed in enumerate(seeds(first), 1):
            if self._stop.is_set() or time.monotonic() > end or number > self._arguments.sequences:
                return
            plan = draw_plan(seed, self._kinds)
            found = self._sequence(servers, plan, number).run()
            self._say(found)
            if found.failures != ["interrupted"]:
                result.append(self._folder, found)
                yield found

    def _sequence(self, servers: Servers, plan: Plan, number: int) -> Sequence:
        return Sequence(
            servers,
            plan,
            self._logs(plan.seed),
            number=number,
            messages=self._arguments.messages,
            rate=self._arguments.rate,
            limit=self._arguments.limit,
            stop=self._stop,
            tell=lambda text: self._status.update(f"sequence {number}: {text}"),
        )

    def _say(self, found: SequenceResult) -> None:
        faults = ", ".join(f"{run.name} ({_seconds(run.recovery)})" for run in found.faults)
        self._console.print(
            f"{found.number:>4}  seed {found.seed:<10} {found.messages:>7,} messages {found.seconds:>5.1f} s "
            f"{'ok    ' if found.ok else 'FAILED'}  {faults}"
        )
        if found.ok or found.failures == ["interrupted"]:
            return
        for failure in found.failures:
            self._console.print(f"      {failure}", style="red")
        only = f" --only '{self._arguments.only}'" if self._arguments.only else ""
        self._console.print(f'      again: make chaos ARGS="--seed {found.seed} --sequences 1{only}"')
        self._console.print(f"      logs: {self._logs(found.seed)}")

    def _logs(self, seed: int) -> Path:
        return self._folder / f"logs-{seed}"

    @contextmanager
    def _servers(self) -> Iterator[Servers]:
        with tempfile.TemporaryDirectory(prefix="orderkeep-chaos-") as folder:
            Path(folder).chmod(0o755)
            servers = Servers(Path(folder) / "servers", say=self._status.update)
            try:
                servers.start()
                yield servers
            finally:
                servers.stop()

    @contextmanager
    def _terminal(self) -> Iterator[None]:
        if not self._console.is_terminal:
            yield
            return
        with self._status:
            yield


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM end the run in order, the second one at once."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(_number: int, _frame: object) -> None:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    yield stop


def _seconds(recovery: float | None) -> str:
    return "not recovered" if recovery is None else f"{recovery:.1f} s"


def _list(console: Console, only: str) -> int:
    kinds, missing = available(only)
    for kind in kinds:
        console.print(f"[b]{kind.name}[/b] [dim]({kind.part})[/dim]: {kind.sentence}")
    for name, reason in missing.items():
        console.print(f"[b]{name}[/b]: left out here: {reason}")
    console.print(f"{len(kinds) + len(missing)} kinds")
    return 0


def _summarise(console: Console, arguments: argparse.Namespace) -> int:
    results = [each for folder in arguments.summarise for each in result.read(folder)]
    arguments.report.mkdir(parents=True, exist_ok=True)
    report.write(arguments.report, results, {})
    console.print(report.table(results, {}))
    console.print(f"report: {arguments.report}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    add = parser.add_argument
    add("--sequences", type=int, default=sys.maxsize, help="end after so many (default: when time is over)")
    add("--minutes", type=float, default=10.0, help="begin no sequence after so many minutes (default: 10)")
    add("--seed", type=int, help="of the run, or of a sequence to see again (default: any)")
    add("--only", default="", metavar="TEXT", help="only faults with TEXT in their names")
    add("--rate", type=float, default=RATE, help=f"messages a second (default: {RATE:,.0f})")
    add("--limit", type=float, default=LIMIT, help=f"seconds until healthy again (default: {LIMIT:g})")
    add("--messages", type=int, default=MESSAGES, help=f"of a sequence, at least (default: {MESSAGES:,})")
    default = Path(".orderkeep/chaos")
    add("--report", type=Path, default=default, metavar="FOLDER", help=f"for results (default: {default})")
    add("--list", action="store_true", help="only list the faults")
    add("--summarise", type=Path, nargs="+", metavar="FOLDER", help="only make the report of earlier runs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
