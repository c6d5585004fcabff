"""How fast orders are read that are in no cache, by the size of the API's pool: beside bare reads by key."""

import functools
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from orderkeep.bench import web
from orderkeep.bench.point_reads import point_reads
from orderkeep.bench.results import Measurement, Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.bench.serving import Stored

SIZES = (1, 2, 3, 4, 8, 16)
"""Connections to PostgreSQL (ORDERKEEP_DATABASE_POOL), and as many for the bare reads."""
ASKERS = (64, 8)
"""Connections over HTTP: a load that fills the queries, and one that does not."""
SECONDS = 4
WARM_UP_SECONDS = 1


def measure(orders: int, folder: Path, display: Display) -> Result:
    """Bare reads and an API without a cache, of each size in turn."""
    display.say("looking for wrk")
    web.require("wrk")
    with ExitStack() as stack:
        stored = Stored(stack, orders, folder, display)
        runs: dict[str, Callable[[str], web.Load]] = {}
        for size in SIZES:
            display.say(f"warming up a pool of {size}")
            url = stored.serve(f"pool_{size}", CACHE_MAX_BYTES="0", DATABASE_POOL=str(size))
            web.load(f"warm_{size}", url, stored.paths, WARM_UP_SECONDS, folder)
            runs[f"reads_{size}"] = functools.partial(_read, stored, size)
            for askers in ASKERS:
                runs[f"get_{size}_{askers}"] = functools.partial(_ask, stored, url, askers, folder)
        loads = in_turn(display, runs)
        facts = {"asked": len(stored.asked), **web.versions("wrk"), "postgresql": stored.server.facts()}
    return Result(_figures(loads), facts)


def _read(stored: Stored, size: int, _name: str) -> web.Load:
    return point_reads(stored.url, list(stored.asked), size, SECONDS)


def _ask(stored: Stored, url: str, askers: int, folder: Path, name: str) -> web.Load:
    return web.all_answered(name, web.load(name, url, stored.paths, SECONDS, folder, connections=askers))


def _figures(loads: dict[str, list[web.Load]]) -> dict[str, Measurement]:
    found = Measurements()
    for size in SIZES:
        limit = f"reads_{size}"
        found.add(limit, f"bare reads, {size} connections", "reads/s", [each.rate for each in loads[limit]])
        for askers in ASKERS:
            name, what = f"get_{size}_{askers}", f"{askers} clients, a pool of {size}"
            done = loads[name]
            found.add(name, what, "requests/s", [each.rate for each in done], limit=limit)
            found.add(f"{name}_p50", f"{what}, p50", "ms", [each.p50_us / 1000 for each in done])
            found.add(f"{name}_p99", f"{what}, p99", "ms", [each.p99_us / 1000 for each in done])
    return found.by_name
