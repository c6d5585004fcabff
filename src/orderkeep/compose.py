"""The composition root: which adapter goes where. `brokers.py` and `caches.py` choose their own."""

import asyncio
import gc
import secrets
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import structlog

from orderkeep.api.access import access_of, refuse_exposure
from orderkeep.api.app import create_app
from orderkeep.api.asyncapi import asyncapi_route, description
from orderkeep.api.connections import Connections, allowed_connections
from orderkeep.api.event_feed import Feed
from orderkeep.api.events import event_route
from orderkeep.api.exposition import ApiMetrics, api_metrics_route, ingest_metrics_route, note_arrival
from orderkeep.api.fast_lane import FastLane, leave_to_parser
from orderkeep.api.guard import AllowedHosts
from orderkeep.api.health import ApiHealth, api_health_routes, ingest_health_routes
from orderkeep.api.orders import order_routes
from orderkeep.api.origin import origin_route
from orderkeep.api.page import page_routes
from orderkeep.api.posting import posting_route
from orderkeep.api.rejects import reject_routes
from orderkeep.api.server import address, listen, serve
from orderkeep.api.state import state_route
from orderkeep.api.tls import tls_of
from orderkeep.api.workers import Workers
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
from orderkeep.observe.tracing import traced
from orderkeep.publish.given import file_messages, line_messages
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.mixture import Mixture
from orderkeep.publish.run import PublishReport, publish
from orderkeep.running import run_together, stop_on_signal
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
from orderkeep.storage.store import Pooled
from orderkeep.supervise import Service, keep_all_up
from orderkeep.traces import traces_of

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
    routes = [*ingest_health_routes(observer), ingest_metrics_route(observer, metrics)]
    app = create_app(routes, _hosts(settings), metrics)
    gc.freeze()  # what is there now stays, and is not walked through by the garbage collector any more
    with stop_on_signal() as stop, traces_of(settings, "ingest") as traces:
        observer.trace(traces)
        log.info("started", role="ingest", health=address(listener))
        working = asyncio.create_task(_ingest(settings, observer, stop, accept_gaps=accept_gaps))
        await run_together(stop, working, asyncio.create_task(serve(app, listener, stop)))
        log.info("stopped", role="ingest", finished=working.result())


async def _ingest(
    settings: Settings, observer: IngestObserver, stop: asyncio.Event, *, accept_gaps: bool
) -> bool:
    """Run the pipeline, and anew when the database has gone back. False when the deadline came first."""
    async with _retention(settings), dead_letters_of(settings) as dead_letters:
        while True:
            url, confirmed = settings.database_url, Confirmed(shared=settings.shared)
            writers = [PostgresWriter(url, slot, confirmed) for slot in range(settings.database_writers)]
            source = source_of(settings)
            observer.begin(source)
            pipeline = Pipeline(
                source,
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


async def run_api(
    settings: Settings, listener: socket.socket | None = None, worker: Path | None = None
) -> None:
    """Serve orders over HTTP until SIGINT or SIGTERM. Raises `Fatal`.

    It listens on `listener`, when one is handed down. `worker` is the socket by which it tells other
    processes of the same listener its metrics.
    """
    if listener is None:  # else `serve` has looked before it opened it
        refuse_exposure(settings)
    tls = tls_of(settings)
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
    orders = ReadThrough(reader, cache, redis, settings.database_pool)
    events = PostgresEvents(settings.database_url)
    feed = Feed(events)
    warmer = Warmer(newcomers, [cache, redis] if redis else [cache], [feed], note_arrival(metrics))
    hosts = _hosts(settings)
    access = access_of(settings)
    # Where misses are counted, the lane leaves them to the parser: it does not know who asks.
    ask = leave_to_parser if settings.http_client_rate else orders.ask
    lane = FastLane(cache, ask, hosts.allow, access.may_read)
    health = ApiHealth(lists, cache, redis, warmer, access)
    connections = Connections(allowed_connections())
    pools: dict[str, Pooled] = {"orders": reader, "lists": lists, "following": newcomers, "rejects": rejects}
    own = ApiMetrics(metrics, cache, redis, warmer, orders, lane, feed, connections, lists, pools)
    workers = Workers(worker, own.families) if worker else None
    routes = [
        *order_routes(orders, lists, access),
        origin_route(lists),
        posting_route(intake, cache),
        *api_health_routes(health),
        api_metrics_route(own, workers),
        state_route(health, orders, lane, settings),
        *reject_routes(rejects, replayer),
        event_route(feed),
        asyncapi_route(
            description(settings.source, settings.channel, settings.kafka_dead_letter_topic or None)
        ),
        *page_routes(),
    ]
    app = create_app(routes, hosts, metrics, access)
    gc.freeze()  # as above; the cache is walked through no more either (docs/performance.md)
    with stop_on_signal() as stop, traces_of(settings, "api") as traces:
        where = address(listener, secure=tls is not None)
        log.info("started", role="api", address=where, connections=connections.limit)
        warming = asyncio.create_task(_warm(warmer, redis))
        watching = asyncio.create_task(access.watch(lane.take_back))
        feeding = asyncio.create_task(feed.stop_when(stop))
        telling = asyncio.create_task(workers.tell_until(stop) if workers else stop.wait())
        serving = asyncio.create_task(serve(traced(app, traces), listener, stop, lane, connections, tls))
        try:
            await run_together(stop, warming, feeding, telling, serving, watching, leader=serving)
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
    secure = tls_of(settings) is not None  # one that cannot be used is refused here already
    listener = listen(settings.http_host, settings.http_port, setting="ORDERKEEP_HTTP_PORT")
    fd, variables = listener.fileno(), environment(settings)
    with stop_on_signal() as stop, _folder_of_workers(settings.http_workers) as folder:
        services = [
            Service("ingest", ["ingest"], settings=variables),
            *(
                Service(name, ["api", f"--fd={fd}", *options], fd=fd, settings=variables)
                for name, options in _api_processes(settings.http_workers, folder)
            ),
        ]
        log.info("started", role="serve", address=address(listener, secure=secure))
        await keep_all_up(services, stop)


def _folder_of_workers(count: int) -> AbstractContextManager[str]:
    """Where API processes tell each other their metrics; nobody else may look in. Raises `Fatal`."""
    if count == 1:
        return nullcontext("")
    try:
        return tempfile.TemporaryDirectory(prefix="orderkeep-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigurationError(f"there is no folder for temporary files ({error}): set TMPDIR") from None


def _api_processes(count: int, folder: str) -> list[tuple[str, list[str]]]:
    """The name of each, and its own arguments; one that is alone has nobody to tell."""
    if count == 1:
        return [("api", [])]
    return [(f"api {number}", [f"--worker={folder}/{number}"]) for number in range(1, count + 1)]


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


def _retention(settings: Settings) -> AbstractAsyncContextManager[None]:
    days = settings.rejects_retention_days
    return discarding(PostgresRejects(settings.database_url), days) if days else nullcontext()


def _hosts(settings: Settings) -> AllowedHosts:
    return AllowedHosts([settings.http_host, settings.ingest_host, *settings.http_allowed_hosts.split(",")])
