"""The state of the service in one answer: what the page shows to whoever is on call."""

import asyncio
import os
import platform
import time
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from importlib.metadata import version
from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from msgspec import Struct, convert

from orderkeep.api.access import needs
from orderkeep.api.examples import STATE
from orderkeep.api.fast_lane import FastLane
from orderkeep.api.health import ApiHealth, ApiStatus
from orderkeep.cache.read_through import ReadThrough
from orderkeep.observe.ingest import IngestStatus
from orderkeep.settings import Settings, variable
from orderkeep.settings_masked import masked

INGEST_SECONDS: Final = 2.0
_LONGEST_STATUS = 1_000_000
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # ingest is in our own network
_PACKAGES = ("litestar", "uvicorn", "msgspec", "asyncpg", "confluent-kafka", "nats-py")


class ApiProcess(Struct, frozen=True):
    """The process that answers; others may share its port, each with a cache of its own."""

    pid: int
    started_at: datetime
    processes: int
    """How many `orderkeep serve` starts, as it is set."""


class Reads(Struct, frozen=True):
    """Orders read by id since the start, as the metric `orderkeep_reads_total` has them."""

    fast_lane: int
    cache: int
    redis: int
    database: int


class IngestProcess(Struct, frozen=True):
    """One process of ingest; `status` is null when it does not answer, and `detail` says why."""

    url: str
    status: IngestStatus | None
    detail: str | None


class Setting(Struct, frozen=True):
    name: str
    value: Any
    changed: bool
    """Whether it is another value than the default."""


class ServiceState(Struct, frozen=True):
    """`now` is the server's clock, for whoever compares times with it. Secrets are masked."""

    now: datetime
    versions: dict[str, str]
    process: ApiProcess
    health: ApiStatus
    database_milliseconds: float
    """How long the database took to answer what `health` says of it."""
    reads: Reads
    ingest_processes: list[IngestProcess]
    settings: list[Setting]


_STATE = ResponseSpec(
    ServiceState,
    generate_examples=False,
    description="What is known",
    examples=[Example(value=convert(STATE, ServiceState, strict=False))],
)


def state_route(
    health: ApiHealth, orders: ReadThrough, lane: FastLane, settings: Settings
) -> HTTPRouteHandler:
    """The handler, bound to what it tells of."""
    process = ApiProcess(os.getpid(), datetime.now(UTC), settings.http_workers)
    versions = _versions()
    in_force = _settings(settings)
    ingest = _Ingest(settings.ingest_health)

    @get(
        "/state",
        opt=needs("admin"),
        operation_id="state",
        summary="The state of the service, in one answer",
        tags=["health"],
        responses={200: _STATE},
    )
    async def state() -> Response[ServiceState]:
        (status, milliseconds), told = await asyncio.gather(_timed(health), ingest.ask())
        past_memory = {name: orders.reads[name] + lane.reads[name] for name in ("redis", "miss")}
        reads = Reads(lane.hits, orders.reads["hit"], past_memory["redis"], past_memory["miss"])
        now = datetime.now(UTC)
        found = ServiceState(now, versions, process, status, milliseconds, reads, told, in_force)
        return Response(found, headers={"cache-control": "no-store"})

    return state


async def _timed(health: ApiHealth) -> tuple[ApiStatus, float]:
    began = time.perf_counter()
    status = await health.status()
    return status, round((time.perf_counter() - began) * 1000, 3)


class _Ingest:
    """The processes of ingest, each asked at its own port; once, however many want to know at a time."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._asking: asyncio.Task[list[IngestProcess]] | None = None

    async def ask(self) -> list[IngestProcess]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._asking)

    async def _ask_all(self) -> list[IngestProcess]:
        return list(await asyncio.gather(*(asyncio.to_thread(_ask, url) for url in self._urls)))


def _ask(url: str) -> IngestProcess:
    """Blocks, at most for `INGEST_SECONDS` between two pieces of the answer."""
    try:
        with _opener.open(f"{url}/health/ready", timeout=INGEST_SECONDS) as answer:
            status = msgspec.json.decode(answer.read(_LONGEST_STATUS), type=IngestStatus)
            return IngestProcess(url, status, None)
    except (OSError, HTTPException, ValueError) as error:  # msgspec's errors are ValueErrors
        return IngestProcess(url, None, f"ingest does not answer: {error}")


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("orderkeep", *_PACKAGES)}
    return {"python": platform.python_version(), **packages}


def _settings(settings: Settings) -> list[Setting]:
    """Those of `serve` reach its children as variables, so only the value tells whether one was changed."""
    defaults = masked(type(settings).model_construct())
    return [
        Setting(variable(name), value, value != defaults[name]) for name, value in masked(settings).items()
    ]
