"""Health and readiness, of the API and of ingest."""

import asyncio
from typing import Any, Literal

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from msgspec import Struct, convert

from orderkeep.api.access import OPEN, Access
from orderkeep.api.examples import READY
from orderkeep.api.keyring import KeysStatus
from orderkeep.cache.cache import BoundedCache, CacheStatistics
from orderkeep.cache.redis import RedisCache, RedisStatus
from orderkeep.cache.warm import Warmer, WarmStatus
from orderkeep.errors import OrderkeepError
from orderkeep.observe.ingest import IngestObserver, IngestStatus
from orderkeep.storage.store import OrderReader, PartitionProgress

DATABASE_SECONDS = 4.0


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
    keys: KeysStatus | None
    """Whether the file of keys can be read; null where there is none."""


class Readiness(Struct, frozen=True):
    """What everybody may know."""

    status: Literal["ok", "degraded"]
    keys: KeysStatus | None


_LIVE = ResponseSpec(
    Live, generate_examples=False, description="It does", examples=[Example(value={"status": "ok"})]
)
_READY = ResponseSpec(
    ApiStatus,
    generate_examples=False,
    description="What is known; without a key of the scope `read`, where there are keys, two fields of it",
    examples=[Example(value=convert(READY, ApiStatus))],
)


@get(
    "/health/live",
    opt=OPEN,
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
        self,
        reader: OrderReader,
        cache: BoundedCache,
        redis: RedisCache | None,
        warmer: Warmer,
        access: Access,
    ) -> None:
        self._asked = _Database(reader)
        self._cache = cache
        self._redis = redis
        self._warmer = warmer
        self.access = access

    async def status(self) -> ApiStatus:
        database, ingest = await self._asked.ask()
        shared = self._redis.status() if self._redis else None
        restore = self._warmer.status
        keys = self.access.keys
        well = (
            database.status == "ok"
            and restore.following
            and (not shared or shared.status == "ok")
            and keys != "unreadable"
        )
        status: Literal["ok", "degraded"] = "ok" if well else "degraded"
        return ApiStatus(status, database, self._cache.statistics(), shared, restore, ingest, keys)


def api_health_routes(health: ApiHealth) -> list[HTTPRouteHandler]:
    """The handlers, bound to what they tell of."""

    @get(
        "/health/ready",
        opt=OPEN,
        operation_id="ready",
        summary="What the service can do now",
        tags=["health"],
        responses={200: _READY},
    )
    async def ready(request: Request[Any, Any, Any]) -> ApiStatus | Readiness:
        found = await health.status()
        if health.access.may_read(request.scope["headers"]):
            return found
        return Readiness(found.status, found.keys)

    return [live, ready]


def ingest_health_routes(observer: IngestObserver) -> list[HTTPRouteHandler]:
    """The handlers of ingest's own port."""

    @get("/health/ready", operation_id="ready", summary="What ingest is doing", tags=["health"])
    async def ready() -> IngestStatus:
        return observer.status

    return [live, ready]


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
