"""The composition root: which adapter goes where. `brokers.py` and `caches.py` choose their own."""

import asyncio
import gc
import secrets
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import structlog

from orderkeep.api.app import create_app
from orderkeep.api.asyncapi import asyncapi_route, description
from orderkeep.api.connections import Connections, allowed_connections
from orderkeep.api.event_feed import Feed
from orderkeep.api.events import event_route
from orderkeep.api.fast_lane import FastLane
from orderkeep.api.guard import AllowedHosts, is_loopback
from orderkeep.api.health import ApiHealth, api_health_routes, ingest_health_routes
from orderkeep.api.orders import order_routes
from orderkeep.api.origin import origin_route
from orderkeep.api.page import page_routes
from orderkeep.api.posting import posting_route
from orderkeep.api.rejects import reject_routes
from orderkeep.api.server import address, listen, serve
from orderkeep.api.state import state_route
from orderkeep.brokers import dead_letters_of, make_publisher, source_of
from orderkeep.cache.read_through import ReadThrough
from orderkeep.cache.redis import RedisCache
from orderkeep.cache.warm import Warmer
from orderkeep.caches import memory_of, redis_of
from orderkeep.errors import ConfigurationError, DatabaseWentBack
from orderkeep.ingest.intake import Intake
from orderkeep.ingest.pipeline import Pipeline
from orderkeep.ingest.replay import Replay, Replayer, ReplayReport
from orderkeep.ingest.retention import discarding
from orderkeep.ingest.retry import within
from orderkeep.observe.ingest import IngestObserver
from orderkeep.observe.metrics import Metrics
from orderkeep.publish.given import file_messages, line_messages
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.mixture import Mixture
from orderkeep.publish.run import PublishReport, publish
from orderkeep.settings import Settings, environment
from orderkeep.storage.erasure import Eraser
from orderkeep.storage.migrate import check_migrated
from orderkeep.storage.postgres_confirmed import Confirmed
from orderkeep.storage.postgres_erasure import PostgresEraser
from orderkeep.storage.postgres_events import PostgresEvents
from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_rejects import PostgresRejects
from orderkeep.storage.postgres_writer import PostgresWriter
from orderkeep.storage.rejects import Reject, RejectFilter, RejectStore
from orderkeep.supervise import Service, keep_all_up

LISTS = 2
"""Connections of an API process for lists of orders and health, and as many for rejects."""
HTTP_PATIENCE = 2.0
"""Seconds that a replay or an order over HTTP waits for a database that is away, before the answer is 503."""
START_SECONDS = 10.0
"""How long a command waits at its start for a database that does not answer."""

log = structlog.get_logger()


async def run_ingest(
    settings: Settings, listener: socket.socket | None = None, *, accept_gaps: bool = False
) -> None:
    """Read the broker into the database until SIGINT or SIGTERM. Raises `Fatal`.

    Its own health and metrics are at `listener`, when one is handed down. With `accept_gaps`, messages that
    the broker has deleted are recorded and passed over.
    """
    listener = listener or listen(settings.ingest_host, settings.ingest_port, setting="ORDERKEEP_INGEST_PORT")
    await within(START_SECONDS, lambda: check_migrated(settings.database_url))
    metrics = Metrics("ingest")
    observer = IngestObserver(metrics)
    app = create_app(ingest_health_routes(observer, metrics), _hosts(settings), metrics)
    gc.freeze()  # what is there now stays, and is not walked through by the garbage collector any more
    with stop_on_signal() as stop:
        log.info("started", role="ingest", health=address(listener))
        working = asyncio.create_task(_ingest(settings, observer, stop, accept_gaps=accept_gaps))
        await _run_together(stop, working, asyncio.create_task(serve(app, listener, stop)))
        log.info("stopped", role="ingest", finished=working.result())


async def _ingest(
    settings: Settings, observer: IngestObserver, stop: asyncio.Event, *, accept_gaps: bool
) -> bool:
    """Run the pipeline, and anew when the database has gone back. False when the deadline came first."""
    async with _retention(settings), dead_letters_of(settings) as dead_letters:
        while True:
            url, confirmed = settings.database_url, Confirmed(shared=settings.shared)
            writers = [PostgresWriter(url, slot, confirmed) for slot in range(settings.database_writers)]
            pipeline = Pipeline(
                source_of(settings),
                writers,
                settings.group,
                observer,
                accept_gaps=accept_gaps,
                dead_letters=dead_letters,
            )
            try:
                return await pipeline.run(stop, settings.shutdown_seconds)
            except DatabaseWentBack as error:
                log.warning("database_went_back", error=str(error))


async def run_api(settings: Settings, listener: socket.socket | None = None) -> None:
    """Serve orders over HTTP until SIGINT or SIGTERM. Raises `Fatal`.

    It listens on `listener`, when one is handed down.
    """
    refuse_exposure(settings)
    listener = listener or listen(settings.http_host, settings.http_port, setting="ORDERKEEP_HTTP_PORT")
    await within(START_SECONDS, lambda: check_migrated(settings.read_url))
    metrics = Metrics("api")
    reader = _reader(settings, settings.database_pool)
    # Of their own: a flood of unknown uids uses up the other reader's connections, and these go on.
    lists, newcomers = _reader(settings, LISTS), _reader(settings, 1)
    rejects = PostgresRejects(settings.read_url, LISTS, primary_url=settings.database_url)
    replayer = _http_replayer(settings)
    intake = Intake(
        PostgresWriter(settings.database_url), HTTP_PATIENCE
    )  # connected when something is posted
    cache, redis = memory_of(settings), redis_of(settings, lists.identity)
    orders = ReadThrough(reader, cache, redis)
    events = PostgresEvents(settings.database_url)
    feed = Feed(events)
    warmer = Warmer(newcomers, [cache, redis] if redis else [cache], [feed])
    hosts = _hosts(settings)
    lane = FastLane(cache, orders.ask, hosts.allow)
    health = ApiHealth(lists, cache, redis, warmer)
    routes = [
        *order_routes(orders, lists),
        origin_route(lists),
        posting_route(intake, cache),
        *api_health_routes(health, cache, redis, warmer, orders, lane, feed, metrics),
        state_route(health, orders, lane, settings),
        *reject_routes(rejects, replayer),
        event_route(feed),
        asyncapi_route(
            description(settings.source, settings.channel, settings.kafka_dead_letter_topic or None)
        ),
        *page_routes(),
    ]
    app = create_app(routes, hosts, metrics)
    connections = Connections(allowed_connections())
    gc.freeze()  # as above; the cache is walked through no more either (docs/performance.md)
    with stop_on_signal() as stop:
        log.info("started", role="api", address=address(listener), connections=connections.limit)
        warming = asyncio.create_task(_warm(warmer, redis))
        feeding = asyncio.create_task(feed.stop_when(stop))
        serving = asyncio.create_task(serve(app, listener, stop, lane, connections))
        try:
            await _run_together(stop, warming, feeding, serving, leader=serving)
        finally:
            for each in (reader, lists, newcomers, rejects, replayer, intake, events):
                await each.close()
            if redis is not None:
                await redis.close()
        log.info("stopped", role="api", finished=True)


async def _warm(warmer: Warmer, redis: RedisCache | None) -> None:
    if redis is None:
        await warmer.run()
        return
    await redis.open()
    await asyncio.gather(redis.run(), warmer.run())


def _reader(settings: Settings, size: int) -> PostgresReader:
    return PostgresReader(settings.read_url, size, primary_url=settings.database_url)


def _http_replayer(settings: Settings) -> Replayer:
    """Nothing of it is connected before someone asks for a replay."""
    url = settings.database_url
    return Replayer(
        PostgresWriter(url), PostgresReader(url, size=1), PostgresRejects(url, size=1), HTTP_PATIENCE
    )


async def run_serve(settings: Settings) -> None:
    """Run ingest and the API as child processes until SIGINT or SIGTERM. Raises `Fatal`.

    The socket is opened here and handed down, so the API's processes share it, and a restart of one refuses
    no connection.
    """
    refuse_exposure(settings)
    listener = listen(settings.http_host, settings.http_port, setting="ORDERKEEP_HTTP_PORT")
    names = ["api"] if settings.http_workers == 1 else [f"api {n + 1}" for n in range(settings.http_workers)]
    fd, variables = listener.fileno(), environment(settings)
    services = [
        Service("ingest", ["ingest"], settings=variables),
        *(Service(name, ["api", f"--fd={fd}"], fd=fd, settings=variables) for name in names),
    ]
    with stop_on_signal() as stop:
        log.info("started", role="serve", address=address(listener))
        await keep_all_up(services, stop)


def run_publish(
    settings: Settings,
    *,
    file: str | None,
    seed: int | None,
    bad: float,
    count: int | None,
    rate: float | None,
    seconds: float | None,
) -> PublishReport:
    """Publish until there is enough, or until SIGINT; blocks. Raises `Fatal` or `Transient`.

    Without `file` the messages are made from `seed`, a new one when it is None.
    """
    messages: Iterator[GeneratedMessage]
    if file is None:
        messages = Mixture(secrets.randbits(63) if seed is None else seed, bad)
    elif file == "-":
        messages = line_messages(sys.stdin.buffer)
    else:
        messages = file_messages(Path(file))
    publisher = make_publisher(settings)
    try:
        progress = sys.stderr.isatty()
        return publish(publisher, messages, count=count, rate=rate, seconds=seconds, progress=progress)
    finally:
        publisher.close()


@asynccontextmanager
async def rejects_for_reading(settings: Settings) -> AsyncIterator[RejectStore]:
    """The rejects of the database that the API reads. Raises `Fatal` when it cannot be used."""
    await within(START_SECONDS, lambda: check_migrated(settings.read_url))
    rejects = PostgresRejects(settings.read_url)
    try:
        yield rejects
    finally:
        await rejects.close()


async def run_replay(
    settings: Settings, reject_ids: Sequence[int], wanted: RejectFilter, hear: Callable[[Replay, int], None]
) -> ReplayReport:
    """Replay the rejects of these ids, or without any all that are `wanted`, until SIGINT or SIGTERM.

    `hear` is told what became of each, and how many there are in all. Raises `Fatal`.
    """
    url = settings.database_url
    await within(START_SECONDS, lambda: check_migrated(url))
    rejects = PostgresRejects(url)
    replayer = Replayer(PostgresWriter(url), PostgresReader(url, size=1), rejects)
    outcomes: Counter[str] = Counter()
    try:
        with stop_on_signal() as stop:
            total = len(reject_ids) or await rejects.count(wanted)
            chosen = _by_id(rejects, reject_ids) if reject_ids else rejects.iterate(wanted)
            async for reject in chosen:
                if stop.is_set():
                    break
                replayed = await replayer.replay(reject)
                outcomes[replayed.outcome] += 1
                hear(replayed, total)
            return ReplayReport(outcomes, interrupted=stop.is_set())
    finally:
        await replayer.close()


async def _by_id(rejects: RejectStore, reject_ids: Sequence[int]) -> AsyncIterator[Reject]:
    """The rejects of these ids. Raises `ConfigurationError` before the first when one is not there."""
    for reject_id in reject_ids:
        if await rejects.get(reject_id) is None:
            raise ConfigurationError(f"there is no reject {reject_id}: nothing was replayed")
    for reject_id in reject_ids:
        if (reject := await rejects.get(reject_id)) is not None:
            yield reject


async def eraser_of(settings: Settings) -> Eraser:
    """What erases orders, as the owner of the tables. Raises `Fatal`."""
    await within(START_SECONDS, lambda: check_migrated(settings.migrate_url))
    return PostgresEraser(settings.migrate_url)


def refuse_exposure(settings: Settings) -> None:
    """Raises `ConfigurationError` when orders would be served to a network that nothing keeps out."""
    if settings.http_protected and not is_loopback(settings.http_host):
        raise ConfigurationError(
            f"ORDERKEEP_HTTP_HOST is {settings.http_host}, and anyone who reaches it could read every order: "
            "listen on 127.0.0.1, or set ORDERKEEP_HTTP_PROTECTED=false if something in front asks who it is"
        )


@contextmanager
def stop_on_signal() -> Iterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets; a second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def note() -> None:
        log.info("stopping")
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in signals:
        loop.add_signal_handler(number, note)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _run_together(
    stop: asyncio.Event, *parts: "asyncio.Task[object]", leader: "asyncio.Task[object] | None" = None
) -> None:
    """Wait for all parts, or for the leader; when one ends by itself, the others are asked to stop.

    Raises what a part raised. Parts that go on after the leader are cancelled.
    """
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.wait((leader,) if leader else parts)
    for part in parts:
        if not part.done():
            part.cancel()
    await asyncio.gather(*parts, return_exceptions=True)
    for part in parts:
        if not part.cancelled():
            part.result()


def _retention(settings: Settings) -> AbstractAsyncContextManager[None]:
    days = settings.rejects_retention_days
    return discarding(PostgresRejects(settings.database_url), days) if days else nullcontext()


def _hosts(settings: Settings) -> AllowedHosts:
    return AllowedHosts([settings.http_host, settings.ingest_host, *settings.http_allowed_hosts.split(",")])
