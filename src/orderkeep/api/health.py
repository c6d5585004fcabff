"""Health, readiness and metrics, of the API and of ingest."""

import asyncio
from typing import Any, Final, Literal

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from msgspec import Struct, convert

from orderkeep.api.event_feed import Feed
from orderkeep.api.examples import METRICS, READY
from orderkeep.api.fast_lane import FastLane
from orderkeep.cache.cache import BoundedCache, CacheStatistics
from orderkeep.cache.read_through import ReadThrough
from orderkeep.cache.redis import RedisCache, RedisStatus
from orderkeep.cache.warm import Warmer, WarmStatus
from orderkeep.errors import OrderkeepError
from orderkeep.observe.ingest import IngestObserver, IngestStatus
from orderkeep.observe.metrics import CONTENT_TYPE, Metrics
from orderkeep.storage.store import OrderReader, PartitionProgress

DATABASE_SECONDS = 4.0

_METRICS: Final[dict[str, Any]] = {
    "operation_id": "metrics",
    "summary": "Metrics for Prometheus",
    "tags": ["health"],
    "responses": {
        200: ResponseSpec(
            str,
            generate_examples=False,
            description="Prometheus' text format",
            media_type=CONTENT_TYPE,
            examples=[Example(value=METRICS)],
        )
    },
}


class Live(Struct, frozen=True):
    status: Literal["ok"] = "ok"


class DatabaseStatus(Struct, frozen=True):
    status: Literal["ok", "unavailable"]
    detail: str | None
    orders: int | None
    """About how many: the planner's estimate."""


class ApiStatus(Struct, frozen=True):
    """`degraded` still answers what is in memory, so it is ready: another replica has the same database."""

    status: Literal["ok", "degraded"]
    database: DatabaseStatus
    cache: CacheStatistics
    redis: RedisStatus | None
    restore: WarmStatus
    ingest: list[PartitionProgress]


_LIVE = ResponseSpec(
    Live, generate_examples=False, description="It does", examples=[Example(value={"status": "ok"})]
)
_READY = ResponseSpec(
    ApiStatus,
    generate_examples=False,
    description="What is known",
    examples=[Example(value=convert(READY, ApiStatus))],
)


@get(
    "/health/live",
    operation_id="live",
    summary="The process answers",
    tags=["health"],
    responses={200: _LIVE},
)
async def live() -> Live:
    return Live()


class ApiHealth:
    """What one process of the API can do now; the database is asked once, however many want to know."""

    def __init__(
        self, reader: OrderReader, cache: BoundedCache, redis: RedisCache | None, warmer: Warmer
    ) -> None:
        self._asked = _Database(reader)
        self._cache = cache
        self._redis = redis
        self._warmer = warmer

    async def status(self) -> ApiStatus:
        database, ingest = await self._asked.ask()
        shared = self._redis.status() if self._redis else None
        restore = self._warmer.status
        well = database.status == "ok" and restore.following and (not shared or shared.status == "ok")
        status: Literal["ok", "degraded"] = "ok" if well else "degraded"
        return ApiStatus(status, database, self._cache.statistics(), shared, restore, ingest)


def api_health_routes(
    health: ApiHealth,
    cache: BoundedCache,
    redis: RedisCache | None,
    warmer: Warmer,
    orders: ReadThrough,
    lane: FastLane,
    feed: Feed,
    metrics: Metrics,
) -> list[HTTPRouteHandler]:
    """The handlers, bound to what they tell of."""

    @get(
        "/health/ready",
        operation_id="ready",
        summary="What the service can do now",
        tags=["health"],
        responses={200: _READY},
    )
    async def ready() -> ApiStatus:
        return await health.status()

    @get("/metrics", **_METRICS)
    async def show_metrics() -> Response[bytes]:
        statistics = cache.statistics()
        metrics.set("orderkeep_reads_total", lane.hits, "fast_lane")
        metrics.set("orderkeep_reads_total", orders.reads["hit"], "cache")
        metrics.set("orderkeep_reads_total", orders.reads["redis"] + lane.reads["redis"], "redis")
        metrics.set("orderkeep_reads_total", orders.reads["miss"] + lane.reads["miss"], "database")
        metrics.set("orderkeep_cache_entries", statistics.entries)
        metrics.set("orderkeep_cache_bytes", statistics.bytes)
        metrics.set("orderkeep_cache_evictions_total", statistics.evictions)
        metrics.set("orderkeep_cache_restored_orders", warmer.status.restored)
        metrics.set("orderkeep_cache_following", warmer.status.following)
        metrics.set("orderkeep_erased_orders_total", warmer.erased)
        metrics.set("orderkeep_event_streams", feed.streams)
        if redis is not None:
            _tell_of_redis(redis, metrics)
        return _exposed(metrics)

    return [live, ready, show_metrics]


def ingest_health_routes(observer: IngestObserver, metrics: Metrics) -> list[HTTPRouteHandler]:
    """The handlers of ingest's own port."""

    @get("/health/ready", operation_id="ready", summary="What ingest is doing", tags=["health"])
    async def ready() -> IngestStatus:
        return observer.status

    @get("/metrics", **_METRICS)
    async def show_metrics() -> Response[bytes]:
        return _exposed(metrics)

    return [live, ready, show_metrics]


def _tell_of_redis(redis: RedisCache, metrics: Metrics) -> None:
    for read, count in redis.reads.items():
        metrics.set("orderkeep_redis_reads_total", count, read)
    for written, count in redis.writes.items():
        metrics.set("orderkeep_redis_writes_total", count, written)
    metrics.set("orderkeep_redis_breaker_open", redis.breaker_is_open)


def _exposed(metrics: Metrics) -> Response[bytes]:
    # As a header: to a media type of text a charset would be added, and this one has its own.
    return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})


class _Database:
    """The state of the database, asked for once however many want to know at a time."""

    def __init__(self, reader: OrderReader) -> None:
        self._reader = reader
        self._asking: asyncio.Task[tuple[DatabaseStatus, list[PartitionProgress]]] | None = None

    async def ask(self) -> tuple[DatabaseStatus, list[PartitionProgress]]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(_ask(self._reader))
        return await asyncio.shield(self._asking)


async def _ask(reader: OrderReader) -> tuple[DatabaseStatus, list[PartitionProgress]]:
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            orders = await reader.estimate()
            return DatabaseStatus("ok", None, orders), await reader.ingest_progress()
    except (OrderkeepError, TimeoutError) as error:
        detail = str(error) or f"no answer within {DATABASE_SECONDS:g} seconds"
        return DatabaseStatus("unavailable", detail, None), []
