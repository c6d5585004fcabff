"""How fast orders are read that are in no cache, by the size of the API's pool: beside bare reads by key."""

import functools
from contextlib import ExitStack
from pathlib import Path

from orderkeep.bench import web
from orderkeep.bench.point_reads import point_reads
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.bench.serving import Stored
from orderkeep.errors import Fatal

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
        uids = list(stored.asked)
        targets = {
            size: stored.serve(f"pool_{size}", CACHE_MAX_BYTES="0", DATABASE_POOL=str(size)) for size in SIZES
        }
        for size, url in targets.items():
            display.say(f"warming up a pool of {size}")
            web.load(f"warm_{size}", url, stored.paths, WARM_UP_SECONDS, folder)

        def read(size: int, _name: str) -> web.Load:
            return point_reads(stored.url, uids, size, SECONDS)

        def ask(size: int, askers: int, name: str) -> web.Load:
            load = web.load(name, targets[size], stored.paths, SECONDS, folder, connections=askers)
            if load.lost + load.refused:
                raise Fatal(
                    f"{name}: {load.lost + load.refused:,} of {load.requests:,} requests had no answer"
                )
            return load

        runs = {}
        for size in SIZES:
            runs[f"reads_{size}"] = functools.partial(read, size)
            for askers in ASKERS:
                runs[f"get_{size}_{askers}"] = functools.partial(ask, size, askers)
        loads = in_turn(display, runs)
        facts = {"asked": len(uids), **web.versions("wrk"), "postgresql": stored.server.facts()}
    found = Measurements()
    for size in SIZES:
        limit = f"reads_{size}"
        found.add(limit, f"bare reads, {size} connections", "reads/s", [each.rate for each in loads[limit]])
        for askers in ASKERS:
            name = f"get_{size}_{askers}"
            what = f"{askers} clients, a pool of {size}"
            found.add(name, what, "requests/s", [each.rate for each in loads[name]], limit=limit)
            for percentile, took in (
                ("p50", [each.p50_us for each in loads[name]]),
                ("p99", [each.p99_us for each in loads[name]]),
            ):
                found.add(f"{name}_{percentile}", f"{what}, {percentile}", "ms", [us / 1000 for us in took])
    return Result(found.by_name, facts)
