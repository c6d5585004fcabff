"""How fast orders are read by id over HTTP, beside nginx with a constant answer.

Also without the fast lane, and without the cache: beside bare reads of the table by its key. And with Redis
alone as the cache, once with every order in it, and once with none, since it has no memory for any.
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from valkey import Valkey

from orderkeep.bench import web
from orderkeep.bench.point_reads import point_reads
from orderkeep.bench.results import Measurement, Measurements, Result
from orderkeep.bench.rounds import Display, in_turn
from orderkeep.bench.serving import Stored
from orderkeep.embedded import RedisServer
from orderkeep.errors import Fatal
from orderkeep.settings import Settings

ROUNDS = 5
SECONDS = 3
WARM_UP_SECONDS = 1
READING_CONNECTIONS: int = Settings.model_fields["database_pool"].default
"""To PostgreSQL, for the bare reads: as many as `orderkeep api` reads orders over."""
ORDINARY = ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",)
"""A header that a request is traced by keeps it out of the fast lane: it is answered by the application."""


def measure(orders: int, folder: Path, display: Display) -> Result:
    """nginx, the API and the API without a cache in turn, each one process, under the same load."""
    display.say("looking for wrk and nginx")
    web.require("wrk", "nginx")
    with ExitStack() as stack:
        stored = Stored(stack, orders, folder, display)
        display.say("starting Redis")
        redis = stack.enter_context(RedisServer(folder / "redis"))
        full = stack.enter_context(RedisServer(folder / "full_redis", settings={"maxmemory": "1"}))
        before = _redis_facts(redis)["bytes"]
        display.say("filling the caches")
        targets = {
            "nginx": stack.enter_context(web.nginx(stored.body_bytes, folder)),
            "cache": stored.serve("cache"),
            "two": stored.serve("two", processes=2),
            "no_cache": stored.serve("no_cache", CACHE_MAX_BYTES="0"),
            "redis": stored.serve("redis", CACHE="redis", REDIS_URL=redis.url),
            "full_redis": stored.serve("full_redis", CACHE="redis", REDIS_URL=full.url),
        }

        def read(_name: str) -> web.Load:
            return point_reads(stored.url, list(stored.asked), READING_CONNECTIONS, SECONDS)

        loads = _load_in_turn(targets, read, stored.paths, folder, display)
        facts: dict[str, Any] = {
            "connections": web.CONNECTIONS,
            "asked": len(stored.asked),
            "body_bytes": stored.body_bytes,
            "lost": {name: sum(each.lost for each in done) for name, done in loads.items()},
            "refused": {name: sum(each.refused for each in done) for name, done in loads.items()},
            **web.versions("wrk", "nginx"),
            "postgresql": stored.server.facts(),
            "redis": _redis_facts(redis),
        }
        facts["redis"]["bytes_an_order"] = round((facts["redis"]["bytes"] - before) / orders)
        if facts["redis"]["keys"] < orders or _redis_facts(full)["keys"]:
            raise Fatal("the counts do not agree: one Redis was to have every order, and the other none")
    return Result(_figures(loads), facts)


def _figures(loads: dict[str, list[web.Load]]) -> dict[str, Measurement]:
    found = Measurements()
    rates = {name: [each.rate for each in done] for name, done in loads.items()}
    p99 = {name: [each.p99_us / 1000 for each in done] for name, done in loads.items()}
    found.add("nginx", "nginx, a constant", "requests/s", rates["nginx"])
    found.add("get", "GET, from the cache", "requests/s", rates["cache"], limit="nginx")
    found.add("get_ordinary", "the same without the lane", "requests/s", rates["ordinary"], limit="nginx")
    found.add("get_two", "two processes without it", "requests/s", rates["two"], limit="get_ordinary")
    found.add("reads", "bare reads by key", "reads/s", rates["reads"])
    found.add("get_no_cache", "GET, without a cache", "requests/s", rates["no_cache"], limit="reads")
    found.add("get_redis", "GET, from Redis", "requests/s", rates["redis"], limit="nginx")
    found.add("get_full_redis", "GET, not in Redis", "requests/s", rates["full_redis"], limit="get_no_cache")
    found.add("nginx_p99", "nginx, p99", "ms", p99["nginx"])
    found.add("get_p99", "GET, from the cache, p99", "ms", p99["cache"], limit="nginx_p99")
    found.add("get_no_cache_p99", "GET, without a cache, p99", "ms", p99["no_cache"])
    found.add("get_redis_p99", "GET, from Redis, p99", "ms", p99["redis"])
    found.add("get_full_redis_p99", "GET, not in Redis, p99", "ms", p99["full_redis"])
    return found.by_name


def _load_in_turn(
    targets: dict[str, str],
    read: Callable[[str], web.Load],
    paths: Path,
    folder: Path,
    display: Display,
) -> dict[str, list[web.Load]]:
    for name, url in targets.items():
        display.say(f"warming up {name}")
        web.load(f"wrk_{name}", url, paths, WARM_UP_SECONDS, folder)

    def load(url: str, headers: Sequence[str], name: str) -> web.Load:
        measured = web.load(f"wrk_{name}", url, paths, SECONDS, folder, headers=headers)
        if measured.lost + measured.refused > measured.requests // 100:
            raise Fatal(
                f"{name}: {measured.lost:,} requests were not answered and {measured.refused:,} refused, "
                f"of {measured.requests:,}: a rate of it would mean nothing"
            )
        return measured

    plain = ("nginx", "cache", "no_cache", "redis", "full_redis")
    loads = {name: functools.partial(load, targets[name], ()) for name in plain}
    # Slow enough for wrk's own core not to be the limit of two processes.
    ordinary = {
        "ordinary": functools.partial(load, targets["cache"], ORDINARY),
        "two": functools.partial(load, targets["two"], ORDINARY),
    }
    return in_turn(display, {**loads, **ordinary, "reads": read}, ROUNDS)


def _redis_facts(server: RedisServer) -> dict[str, Any]:
    with Valkey(host=server.host, port=server.port) as client:
        said: dict[str, Any] = client.info()
        version = said.get("valkey_version", said["redis_version"])
        return {"version": version, "keys": client.dbsize(), "bytes": said["used_memory"]}
