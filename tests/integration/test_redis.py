"""The API with its cache in Redis: what is read is right and comes, whatever becomes of Redis meanwhile."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from valkey import Valkey

from orderkeep.embedded import RedisServer
from tests.conftest import Database, start_or_skip
from tests.orders import order
from tests.service import Service, wait_until

from .api_scene import ORDERS, api_only, others, store

HANGS = 0.05
PATIENT = 5.0
"""Deadlines: one that a server that hangs misses soon, and one that none misses that does not."""

MakeApi = Callable[..., Service]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to be broken."""
    server = RedisServer(tmp_path / "redis")
    start_or_skip(server)
    yield server
    server.stop()


@pytest.fixture
def make_api(tmp_path: Path, database: Database, redis: RedisServer) -> Iterator[MakeApi]:
    """Make an API with Redis, not started, in a folder of that name; it is stopped at the end."""
    with ExitStack() as cleanup:

        def make(name: str = "api", deadline: float = PATIENT, **settings: str) -> Service:
            (tmp_path / name).mkdir()
            env = {
                "ORDERKEEP_CACHE": "redis",
                "ORDERKEEP_REDIS_URL": redis.url,
                "ORDERKEEP_REDIS_DEADLINE_SECONDS": str(deadline),
                **{f"ORDERKEEP_{key.upper()}": value for key, value in settings.items()},
            }
            made = api_only(tmp_path / name, database, env)
            cleanup.callback(made.stop)
            return made

        yield make


def get(service: Service, uid: str) -> tuple[str, bytes]:
    """Where it came from, and the order."""
    answer = httpx.get(f"{service.url}/orders/{uid}", timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-orderkeep-cache"], answer.content


def not_modified(service: Service, uid: str) -> str:
    """Where it came from, when the client has it already."""
    answer = httpx.get(f"{service.url}/orders/{uid}", headers={"if-none-match": "*"}, timeout=60)
    assert answer.status_code == 304
    return answer.headers["x-orderkeep-cache"]


def ready(service: Service) -> dict[str, object]:
    found: dict[str, object] = httpx.get(f"{service.url}/health/ready", timeout=60).json()
    return found


def state(service: Service) -> object:
    found = ready(service)["redis"]
    assert isinstance(found, dict)
    return found["status"]


def metric(service: Service, name: str) -> float:
    page = httpx.get(f"{service.url}/metrics", timeout=60).text
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_until_from_redis(service: Service, uid: str) -> None:
    wait_until(lambda: get(service, uid)[0] == "redis", f"{uid} is in Redis")


async def test_redis_alone(make_api: MakeApi, database: Database) -> None:
    """What is stored is restored to Redis, what is new follows, and a second process finds both there."""
    await store(database, [order("a"), order("b")])
    first, second = make_api("first"), make_api("second")
    first.start_api()
    first.api.wait_for("cache_restored")
    wait_until_from_redis(first, "a")
    assert get(first, "b") == ("redis", order("b"))
    second.start_api()
    assert get(second, "a") == ("redis", order("a"))
    assert [ready(each)["redis"] for each in (first, second)] == [
        {"status": "ok", "detail": None, "fills": fills} for fills in (True, False)
    ]
    await store(database, [order("new")], first=10)
    wait_until(lambda: metric(first, 'orderkeep_redis_writes_total{result="written"}') == 3, "it follows")
    assert get(second, "new") == ("redis", order("new"))
    assert not_modified(second, "a") == "redis"
    assert metric(second, 'orderkeep_reads_total{source="redis"}') == 3
    assert metric(second, 'orderkeep_reads_total{source="database"}') == 0
    assert metric(second, 'orderkeep_redis_reads_total{result="hit"}') == 3


async def test_both(make_api: MakeApi, database: Database) -> None:
    """With memory in front, what it has no room for comes from Redis, and is in memory afterwards."""
    await store(database, [order("a"), order("b")])
    api = make_api(cache="both")
    api.start_api()
    api.api.wait_for("cache_restored")
    assert get(api, "a") == ("hit", order("a"))
    api.stop()
    room = str(len(order("a")) + 1_000)
    small = make_api("small", cache="both", cache_max_bytes=room)
    small.start_api()
    small.api.wait_for("cache_restored")
    assert ready(small)["cache"]["entries"] == 1  # type: ignore[index]
    for uid in "ab":  # either is in memory, and gives way to the other
        get(small, uid)
    assert [get(small, uid)[0] for uid in "aab"] == ["redis", "hit", "redis"]
    assert get(small, "a") == ("redis", order("a"))


async def test_without_the_database(make_api: MakeApi, database: Database) -> None:
    """While the database is away, what Redis has is served, and the rest is 503."""
    await store(database, [order("a")])
    api = make_api()
    api.start_api()
    wait_until_from_redis(api, "a")
    database.server.execute(f"alter database {database.name} with allow_connections false")
    database.server.execute(
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database.name}'"
    )
    wait_until(
        lambda: httpx.get(f"{api.url}/orders/unknown", timeout=60).status_code == 503, "the database is away"
    )
    assert get(api, "a") == ("redis", order("a"))


@pytest.mark.parametrize("cache", ["redis", "both"])
async def test_every_fault(make_api: MakeApi, database: Database, redis: RedisServer, cache: str) -> None:
    """Frozen, killed, emptied, full and restarted, Redis costs no reader an answer, and is used again."""
    await store(database, list(ORDERS.values()))
    api = make_api(deadline=HANGS, cache=cache, cache_max_bytes="0")
    api.start_api()
    with others(api) as counts:

        def more_is_read() -> None:
            before = sum(counts)
            wait_until(lambda: sum(counts) > before + 20, "readers go on")

        wait_until_from_redis(api, "a")
        redis.pause()
        wait_until(lambda: state(api) == "unavailable", "it is noticed that Redis hangs")
        more_is_read()
        redis.resume()
        wait_until(lambda: state(api) == "ok", "Redis is used again")
        wait_until_from_redis(api, "a")
        redis.kill()
        wait_until(lambda: state(api) == "unavailable", "it is noticed that Redis is gone")
        more_is_read()
        redis.start()
        wait_until_from_redis(api, "a")
        with Valkey(port=redis.port) as admin:
            for key in admin.scan_iter("orderkeep:*:a"):
                admin.set(key, b"garbage")
            more_is_read()
            admin.config_set("maxmemory", 1)
            admin.flushall()
            more_is_read()
            admin.config_set("maxmemory", 0)
            wait_until_from_redis(api, "a")
        redis.stop()
        more_is_read()
        redis.start()
        wait_until_from_redis(api, "b")
    events = [line["event"] for line in api.api.events()]
    assert events.count("redis_unavailable") >= 2
    assert events.count("redis_available") >= 2
    assert metric(api, "orderkeep_redis_breaker_open") == 0


async def test_started_before_redis(make_api: MakeApi, database: Database, redis: RedisServer) -> None:
    """An API that starts while Redis is away serves from the database, and uses Redis when it comes."""
    await store(database, [order("a")])
    redis.kill()
    api = make_api()
    api.start_api()
    wait_until(lambda: get(api, "a") == ("miss", order("a")) and state(api) == "unavailable", "it is noticed")
    assert metric(api, "orderkeep_redis_breaker_open") == 1
    assert ready(api)["status"] == "degraded"
    redis.start()
    wait_until_from_redis(api, "a")
    wait_until(lambda: ready(api)["status"] == "ok", "all is well")
