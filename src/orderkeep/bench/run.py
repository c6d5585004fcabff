"""One run: the benches asked for, one after another, and what they found."""

import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from orderkeep.bench import get, growth, ingest, latency, memory, misses, nats, rates, restore, shapes
from orderkeep.bench.machine import this_machine
from orderkeep.bench.results import Report, Result, check_writable, table, write
from orderkeep.bench.rounds import Display
from orderkeep.bench.servers import temporary_folder
from orderkeep.errors import ConfigurationError, ServerUnavailable

WIDTH_IN_A_FILE = 110


class Bench(NamedTuple):
    """`orders`: on how many it works, where nobody says."""

    measure: Callable[[int, Path, Display], Result]
    orders: int
    in_all: bool = True


def run(what: str, *, orders: int | None, stored: int, output: Path | None) -> None:
    """See `orderkeep.bench.run_bench`."""
    benches = _benches(stored)
    names = [name for name, bench in benches.items() if bench.in_all] if what == "all" else [what]
    if unknown := set(names) - set(benches):
        raise ConfigurationError(
            f"there is no bench {unknown.pop()!r}: take one of {', '.join(benches)} or all"
        )
    for option, count in {"--orders": orders, "--stored": stored}.items():
        if count is not None and count < 1:
            raise ConfigurationError(f"{option} is {count}: give 1 or more")
    check_writable(output)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_A_FILE
    report = Report(this_machine(), {}, {})
    console.print(*report.machine.lines(), sep="\n", highlight=False)
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
        "ingest": Bench(ingest.measure, 300_000),
        "latency": Bench(latency.measure, 10_000),
        "restore": Bench(restore.measure, 100_000),
        "get": Bench(get.measure, 20_000),
        "misses": Bench(misses.measure, 100_000),
        "rates": Bench(rates.measure, 20_000),
        "memory": Bench(memory.measure, 100_000),
        "growth": Bench(functools.partial(growth.measure, stored=stored), 100_000),
        "shapes": Bench(functools.partial(shapes.measure, stored=stored), 100_000, in_all=False),
        "jetstream": Bench(nats.measure_jetstream, 200_000, in_all=False),
        "stan": Bench(nats.measure_stan, 200_000, in_all=False),
    }


def _measure(name: str, bench: Bench, orders: int | None) -> Result:
    with Display(name) as display, temporary_folder() as folder:
        count = orders or bench.orders
        result = bench.measure(count, folder, display)
    return Result(result.measurements, {"orders": count, **result.facts})


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Make SIGTERM stop everything in order, as Ctrl-C does: by itself it would leave the folder behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
