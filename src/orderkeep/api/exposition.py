"""The route of the metrics. What is counted elsewhere is brought together when somebody asks."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from orderkeep.api.access import needs
from orderkeep.api.connections import Connections
from orderkeep.api.event_feed import Feed
from orderkeep.api.examples import METRICS
from orderkeep.api.fast_lane import FastLane
from orderkeep.api.workers import Workers
from orderkeep.cache.cache import BoundedCache
from orderkeep.cache.read_through import ReadThrough
from orderkeep.cache.redis import RedisCache
from orderkeep.cache.warm import Warmer
from orderkeep.errors import OrderkeepError
from orderkeep.observe.ingest import IngestObserver
from orderkeep.observe.metrics import CONTENT_TYPE, Family, Metrics, render_together
from orderkeep.storage.store import OrderReader, Pooled

DATABASE_SECONDS: Final = 1.0
LANE_ROUTE: Final = "/orders/{uid}"
"""What the fast lane answers, as the framework names the route."""

_ROUTE: Final[dict[str, Any]] = {
    "opt": needs("metrics"),
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


class ApiMetrics:
    """What the parts of an API process count, as metrics."""

    def __init__(
        self,
        metrics: Metrics,
        cache: BoundedCache,
        redis: RedisCache | None,
        warmer: Warmer,
        orders: ReadThrough,
        lane: FastLane,
        feed: Feed,
        connections: Connections,
        reader: OrderReader,
        pools: Mapping[str, Pooled],
    ) -> None:
        """`reader` is asked how full the queue of notifications is; `pools` tell of their connections."""
        self._metrics = metrics
        self._cache = cache
        self._redis = redis
        self._warmer = warmer
        self._orders = orders
        self._lane = lane
        self._feed = feed
        self._connections = connections
        self._reader = reader
        self._pools = pools
        self._asking: asyncio.Task[None] | None = None

    async def collect(self) -> Metrics:
        """The metrics as they are now. Waits for the database, at most a second."""
        self._tell_of_requests()
        self._tell_of_cache()
        self._tell_of_pools()
        if self._redis is not None:
            self._tell_of_redis(self._redis)
        self._metrics.set("orderkeep_event_streams", self._feed.streams)
        # Asked once, however many want to know at a time.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_database())
        await asyncio.shield(self._asking)
        return self._metrics

    async def families(self) -> list[Family]:
        return (await self.collect()).families()

    def _tell_of_requests(self) -> None:
        tell, lane, reads = self._metrics.set, self._lane, self._orders.reads
        tell("orderkeep_http_requests_total", lane.hits + lane.reads.total(), LANE_ROUTE, "200")
        for status, count in self._connections.refusals.items():
            tell("orderkeep_http_requests_total", count, "", str(status.value))
        tell("orderkeep_reads_total", lane.hits, "fast_lane")
        tell("orderkeep_reads_total", reads["hit"], "cache")
        tell("orderkeep_reads_total", reads["redis"] + lane.reads["redis"], "redis")
        tell("orderkeep_reads_total", reads["miss"] + lane.reads["miss"], "database")

    def _tell_of_cache(self) -> None:
        tell, statistics, status = self._metrics.set, self._cache.statistics(), self._warmer.status
        tell("orderkeep_cache_entries", statistics.entries)
        tell("orderkeep_cache_bytes", statistics.bytes)
        tell("orderkeep_cache_max_bytes", statistics.max_bytes)
        tell("orderkeep_cache_evictions_total", statistics.evictions)
        tell("orderkeep_cache_restored_orders", status.restored)
        tell("orderkeep_cache_restore_seconds", status.seconds)
        tell("orderkeep_cache_restoring", status.restoring)
        tell("orderkeep_cache_following", status.following)
        tell("orderkeep_erased_orders_total", self._warmer.erased)

    def _tell_of_pools(self) -> None:
        for name, pool in self._pools.items():
            use = pool.use
            self._metrics.set("orderkeep_database_connections", use.busy, name, "busy")
            self._metrics.set("orderkeep_database_connections", use.idle, name, "idle")
            self._metrics.set("orderkeep_database_max_connections", use.most, name)

    def _tell_of_redis(self, redis: RedisCache) -> None:
        for read, count in redis.reads.items():
            self._metrics.set("orderkeep_redis_reads_total", count, read)
        for written, count in redis.writes.items():
            self._metrics.set("orderkeep_redis_writes_total", count, written)
        self._metrics.set("orderkeep_redis_breaker_open", redis.breaker_is_open)

    async def _ask_database(self) -> None:
        """What the queue was last known to be stays while nobody answers."""
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                ratio = await self._reader.notification_queue()
        except (OrderkeepError, TimeoutError):
            self._metrics.set("orderkeep_database_up", 0)
        else:
            self._metrics.set("orderkeep_notification_queue_ratio", ratio)
            self._metrics.set("orderkeep_database_up", 1)


def note_arrival(metrics: Metrics) -> Callable[[datetime], None]:
    """What the warmer of the cache is to tell of orders that have come."""

    def note(received_at: datetime) -> None:
        delay = (datetime.now(UTC) - received_at).total_seconds()
        metrics.observe("orderkeep_visible_delay_seconds", max(0.0, delay))

    return note


def api_metrics_route(own: ApiMetrics, workers: Workers | None) -> HTTPRouteHandler:
    """The handler; with `workers` it answers for all processes that share the port."""

    @get("/metrics", **_ROUTE)
    async def show_metrics() -> Response[bytes]:
        if workers is None:
            return _exposed((await own.collect()).render())
        return _exposed(render_together(await workers.ask_all()))

    return show_metrics


def ingest_metrics_route(observer: IngestObserver, metrics: Metrics) -> HTTPRouteHandler:
    """The handler of ingest's own port."""

    @get("/metrics", **_ROUTE)
    async def show_metrics() -> Response[bytes]:
        observer.tell()
        return _exposed(metrics.render())

    return show_metrics


def _exposed(exposition: bytes) -> Response[bytes]:
    # As a header: to a media type of text a charset would be added, and this one has its own.
    return Response(exposition, headers={"content-type": CONTENT_TYPE})
