"""What an order in the cache costs in memory of the process, beside the bytes of the response that it is."""

import functools
import sys
from pathlib import Path

import msgspec

from orderkeep.bench.fill import Filled
from orderkeep.bench.programs import running
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.errors import Fatal

FILL_SECONDS = 600.0


def measure(orders: int, folder: Path, display: Display) -> Result:
    """Fill a cache in a fresh process, every round."""
    filled = in_turn(display, {"memory": functools.partial(_fill, orders, folder)})["memory"]
    found = Measurements()
    found.add("response", "response", "bytes", [each.response_bytes / orders for each in filled])
    found.add(
        "memory",
        "memory of the process",
        "bytes/order",
        [(each.rss_after - each.rss_before) / orders for each in filled],
        limit="response",
    )
    found.add(
        "accounted",
        "what the cache counts",
        "bytes/order",
        [each.accounted_bytes / orders for each in filled],
        limit="response",
    )
    facts = {"entries": filled[-1].entries, "payload_bytes": filled[-1].payload_bytes}
    return Result(found.by_name, facts)


def _fill(orders: int, folder: Path, name: str) -> Filled:
    with running(name, [sys.executable, "-m", "orderkeep.bench.fill", str(orders)], folder) as program:
        said = program.wait(FILL_SECONDS)
    try:
        filled = msgspec.json.decode(said, type=Filled)
    except msgspec.DecodeError:
        raise Fatal(f"the process that fills a cache failed: {program.last_words()}") from None
    if filled.entries != orders:
        raise Fatal(f"the counts do not agree: the cache holds {filled.entries:,} of {orders:,} orders")
    return filled
