"""One run: the benches asked for, one after another, and what they found."""

import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from orderkeep.bench import get, growth, ingest, latency, memory, misses, nats, rates, restore, shapes
from orderkeep.bench.machine import this_machine
from orderkeep.bench.results import Report, Result, check_writable, table, write
from orderkeep.bench.rounds import Display
from orderkeep.bench.servers import temporary_folder
from orderkeep.errors import ConfigurationError, ServerUnavailable

WIDTH_IN_A_FILE = 110

Bench = Callable[[int, Path, Display], Result]

NOT_IN_ALL: Final = {"shapes", "jetstream", "stan"}


def run(what: str, *, orders: int, stored: int, output: Path | None) -> None:
    """See `orderkeep.bench.run_bench`."""
    benches = _benches(stored)
    names = [name for name in benches if name not in NOT_IN_ALL] if what == "all" else [what]
    if unknown := set(names) - set(benches):
        raise ConfigurationError(
            f"there is no bench {unknown.pop()!r}: take one of {', '.join(benches)} or all"
        )
    if min(orders, stored) < 1:
        raise ConfigurationError(f"--orders is {orders} and --stored {stored}: give 1 or more of each")
    check_writable(output)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_A_FILE
    report = Report(this_machine(), orders, {}, {})
    console.print(*report.machine.lines(), f"{orders:,} orders", sep="\n", highlight=False)
    with _interrupted_by_sigterm():
        for name in names:
            try:
                report.results[name] = _measure(name, benches[name], orders)
            except ServerUnavailable as error:
                if what != "all":
                    raise
                report.skipped[name] = str(error)
                console.print(f"\n{name} skipped: {error}", highlight=False)
            else:
                console.print("", table(name, report.results[name]), highlight=False)
            write(report, output)


def _benches(stored: int) -> dict[str, Bench]:
    return {
        "ingest": ingest.measure,
        "latency": latency.measure,
        "restore": restore.measure,
        "get": get.measure,
        "misses": misses.measure,
        "rates": rates.measure,
        "memory": memory.measure,
        "growth": functools.partial(growth.measure, stored=stored),
        "shapes": functools.partial(shapes.measure, stored=stored),
        "jetstream": nats.measure_jetstream,
        "stan": nats.measure_stan,
    }


def _measure(name: str, bench: Bench, orders: int) -> Result:
    with Display(name) as display, temporary_folder() as folder:
        return bench(orders, folder, display)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Make SIGTERM stop everything in order, as Ctrl-C does: by itself it would leave the folder behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
