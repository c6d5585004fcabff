"""How long a GET takes at even rates, far from the limit and close to it, beside nginx with a constant.

A closed loop such as wrk's asks again only when it was answered, and so measures waiting of its own making.
Here every connection asks at its own even pace, as clients that do not know of each other do.
"""

import functools
import statistics
from contextlib import ExitStack
from pathlib import Path

from orderkeep.bench import web
from orderkeep.bench.results import Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.bench.serving import Stored

RATES = (1_000, 5_000, 10_000, 20_000, 40_000, 60_000)
"""Requests a second. Beyond the last, h2load itself needs most of a core."""
SECONDS = 4
PERCENTILES = (50, 90, 99)


def measure(orders: int, folder: Path, display: Display) -> Result:
    """nginx and the API, each one process, at each of the rates in turn."""
    display.say("looking for h2load and nginx")
    web.require("h2load", "nginx")
    with ExitStack() as stack:
        stored = Stored(stack, orders, folder, display)
        display.say("filling the cache")
        nginx = stack.enter_context(web.nginx(stored.body_bytes, folder))
        targets = {"nginx": nginx, "get": stored.serve("cache")}
        names = {f"{name}_{rate}": (name, rate) for rate in RATES for name in targets}

        def run(target: str, rate: int, name: str) -> list[float]:
            taken = web.load_evenly(name, targets[target], stored.paths, rate, SECONDS, folder)
            return statistics.quantiles(taken, n=100, method="inclusive")

        for name in targets:
            display.say(f"warming up {name}")
            run(name, RATES[0], f"warm_{name}")
        figures = in_turn(display, {name: functools.partial(run, *both) for name, both in names.items()})
    found = Measurements()
    for name, (target, rate) in names.items():
        what = {"nginx": "nginx", "get": "GET"}[target]
        for percentile in PERCENTILES:
            rounds = [cuts[percentile - 1] for cuts in figures[name]]
            found.add(f"{name}_p{percentile}", f"{what}, {rate:,} requests/s, p{percentile}", "ms", rounds)
    facts = {"connections": web.CONNECTIONS, "seconds": SECONDS, **web.versions("h2load", "nginx")}
    return Result(found.by_name, facts)
