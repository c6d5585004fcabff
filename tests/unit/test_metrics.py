"""Metrics: what is counted where, as of now, and of several processes together."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orderkeep.api.workers import Families, Workers
from orderkeep.errors import ConfigurationError, RejectKind
from orderkeep.observe.ingest import IngestObserver
from orderkeep.observe.metrics import Metrics, render_together
from orderkeep.sources.memory import MemorySource, MemoryTopic
from orderkeep.sources.source import Fetched, SourceStatus, Span
from orderkeep.storage.store import Refused
from tests.orders import SOURCE, message, order


def samples(exposition: bytes, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric, by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
        if sample.name == name
    }


def test_counted_in_two_places() -> None:
    """A counter that is counted here and brought up from elsewhere is the sum of both."""
    metrics = Metrics("api")
    metrics.add("orderkeep_http_requests_total", 2, "/orders/{uid}", "200")
    for elsewhere in (5, 5, 8):
        metrics.set("orderkeep_http_requests_total", elsewhere, "/orders/{uid}", "200")
    metrics.add("orderkeep_http_requests_total", 1, "/orders/{uid}", "200")
    counted = samples(metrics.render(), "orderkeep_http_requests_total")
    assert counted == {("/orders/{uid}", "200"): 11}


async def test_lag_of_all_partitions() -> None:
    """Partitions have their lag before anything of them is fetched, and none once they are given away."""
    topic = MemoryTopic("orders", partitions=2)
    topic.publish(order("a"), partition=1)
    source = MemorySource(topic, "group")
    metrics = Metrics("ingest")
    observer = IngestObserver(metrics)
    observer.begin(source)
    await source.open(_nothing_known)
    observer.tell()
    assert samples(metrics.render(), "orderkeep_lag_messages") == {("0",): 0, ("1",): 1}
    assert observer.status.lag == {0: 0, 1: 1}

    observer.begin(_Given({1: 7}))  # type: ignore[arg-type] # no more of it is asked
    observer.tell()
    assert samples(metrics.render(), "orderkeep_lag_messages") == {("1",): 7}
    assert samples(metrics.render(), "orderkeep_broker_up") == {(): 0}


def test_batches_in_flight() -> None:
    """The watermark is as old as the oldest batch that is not acknowledged, and 0 without one; a source that
    begins anew has none.
    """
    metrics = Metrics("ingest")
    observer = IngestObserver(metrics)
    batches = [Fetched(SOURCE, [message(order("a"), n)], {0: Span(n, n + 1, None, 1)}) for n in range(2)]

    def now() -> tuple[float, float]:
        observer.tell()
        exposition = metrics.render()
        age = samples(exposition, "orderkeep_watermark_age_seconds")[()]
        return samples(exposition, "orderkeep_batches_in_flight")[()], age

    assert now() == (0, 0)
    for fetched in batches:
        observer.fetched(fetched)
    assert now()[0] == 2
    assert now()[1] > 0
    observer.acknowledged(batches[0])
    assert now()[0] == 1
    observer.begin(_Given({}))  # type: ignore[arg-type] # as above
    assert now() == (0, 0)


def test_rejects_by_kind() -> None:
    """What was kept aside is counted by its kind."""
    metrics = Metrics("ingest")
    observer = IngestObserver(metrics)
    kinds: tuple[RejectKind, ...] = ("not_json", "not_json", "empty")
    observer.refused([Refused(message(b"", n), kind, "") for n, kind in enumerate(kinds)])
    counted = samples(metrics.render(), "orderkeep_rejected_messages_total")
    assert {kind: count for kind, count in counted.items() if count} == {("not_json",): 2, ("empty",): 1}
    assert len(counted) == len(get_args(RejectKind))  # each from 0 on, or Prometheus would miss the first


def test_writes_that_fail() -> None:
    """A write that failed is told until the next commit."""
    metrics = Metrics("ingest")
    observer = IngestObserver(metrics)
    fetched = Fetched(SOURCE, [message(order("a"), 0)], {0: Span(0, 1, None, 1)})
    observer.retried(OSError("away"), 0.1)
    observer.tell()
    assert samples(metrics.render(), "orderkeep_write_failing") == {(): 1}
    observer.committed(fetched, {"stored": 1}, 0.1)
    observer.tell()
    assert samples(metrics.render(), "orderkeep_write_failing") == {(): 0}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: a Unix socket takes no longer one."""
    with tempfile.TemporaryDirectory(prefix="orderkeep-") as path:
        yield Path(path)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_workers_together(folder: Path) -> None:
    """Whichever process is asked tells of all, each with its number; one that was killed is left out, and
    one that stopped leaves nothing behind.
    """
    workers = {number: _worker(folder, number) for number in ("1", "2", "3")}
    stop = asyncio.Event()
    telling = [asyncio.create_task(worker.tell_until(stop)) for worker in workers.values()]
    async with asyncio.timeout(60):
        while len(names(folder)) < 3:  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.01)
    (folder / "4").touch()  # a socket that nobody listens on is refused just as well
    for worker in workers.values():
        exposition = render_together(await worker.ask_all())
        assert samples(exposition, "orderkeep_reads_total") == {("cache", n): int(n) for n in workers}
        assert exposition.count(b"# TYPE orderkeep_reads_total ") == 1
    stop.set()
    await asyncio.gather(*telling)
    assert names(folder) == ["4"]


async def test_worker_without_a_folder(folder: Path) -> None:
    """A process that cannot tell the others says so, and what to do."""
    with pytest.raises(ConfigurationError, match="TMPDIR"):
        await _worker(folder / "missing", "1").tell_until(asyncio.Event())


class _Given:
    """A source of which only the status is asked."""

    def __init__(self, lag: Mapping[int, int]) -> None:
        self._lag = lag

    def status(self) -> SourceStatus:
        return SourceStatus(connected=False, lag=self._lag)


def _worker(folder: Path, number: str) -> Workers:
    metrics = Metrics("api")
    metrics.add("orderkeep_reads_total", int(number), "cache")

    async def families() -> Families:
        return metrics.families()

    return Workers(folder / number, families)


async def _nothing_known(_source: object) -> Mapping[int, int]:
    return {}
