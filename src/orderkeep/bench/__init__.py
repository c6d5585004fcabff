"""`orderkeep bench`: what the service does, measured beside what the machine and its servers can do.

Every bench starts servers of its own in a temporary folder, and measures the service and its limit in turn,
so that whatever else the machine does meanwhile falls on both. The ratio is the figure to trust.
"""

from pathlib import Path
from typing import Literal

from orderkeep.errors import ConfigurationError

BenchName = Literal[
    "get",
    "misses",
    "rates",
    "ingest",
    "latency",
    "restore",
    "memory",
    "growth",
    "shapes",
    "jetstream",
    "stan",
    "all",
]


def run_bench(what: str, *, orders: int | None, stored: int, output: Path | None) -> None:
    """Measure `what`, one of the benches by its name or "all", with so many orders, or as many as it takes.

    For "growth" a table of `stored` orders is made beside one of `orders`; for "shapes" one of each shape.

    Prints a table for each bench to standard output, and writes all figures to `output` as JSON, anew after
    each bench. Blocks for minutes. Raises `Fatal` when a server cannot be had, when a program of ours fails,
    or when the counts do not agree; KeyboardInterrupt for SIGINT and SIGTERM, after everything is stopped.
    """
    try:
        import psutil  # type: ignore[import-untyped]  # noqa: F401 - an optional extra, missed here in one line
    except ModuleNotFoundError:
        raise ConfigurationError(
            "the bench starts servers of its own: install `orderkeep[embedded]`"
        ) from None
    from orderkeep.bench.run import run

    run(what, orders=orders, stored=stored, output=output)


__all__ = ["BenchName", "run_bench"]
