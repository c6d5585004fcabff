"""Every metric, in one typed place: its name, its kind, its labels and what it says."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import Metric as Exposed
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

MetricName = Literal[
    "orderkeep_consumed_messages_total",
    "orderkeep_outcomes_total",
    "orderkeep_rejected_messages_total",
    "orderkeep_batch_messages",
    "orderkeep_batch_write_seconds",
    "orderkeep_batches_in_flight",
    "orderkeep_retries_total",
    "orderkeep_write_failing",
    "orderkeep_watermark_age_seconds",
    "orderkeep_lag_messages",
    "orderkeep_commit_delay_seconds",
    "orderkeep_broker_up",
    "orderkeep_http_requests_total",
    "orderkeep_http_answer_seconds",
    "orderkeep_reads_total",
    "orderkeep_cache_entries",
    "orderkeep_cache_bytes",
    "orderkeep_cache_max_bytes",
    "orderkeep_cache_evictions_total",
    "orderkeep_cache_restored_orders",
    "orderkeep_cache_restore_seconds",
    "orderkeep_cache_restoring",
    "orderkeep_cache_following",
    "orderkeep_visible_delay_seconds",
    "orderkeep_erased_orders_total",
    "orderkeep_event_streams",
    "orderkeep_database_up",
    "orderkeep_database_connections",
    "orderkeep_database_max_connections",
    "orderkeep_notification_queue_ratio",
    "orderkeep_redis_reads_total",
    "orderkeep_redis_writes_total",
    "orderkeep_redis_breaker_open",
    "orderkeep_build_info",
]

PROCESS_METRICS: Final = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
)
"""What prometheus-client tells of every process besides, where there is /proc: names of Prometheus' own."""

Role = Literal["ingest", "api", "both"]


class Metric(NamedTuple):
    role: Role
    kind: type[Counter] | type[Gauge] | type[Histogram]
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_MESSAGES = (1.0, 10.0, 100.0, 500.0, 1000.0, 2000.0, 5000.0)

METRICS: dict[MetricName, Metric] = {
    "orderkeep_consumed_messages_total": Metric("ingest", Counter, "Messages fetched from the broker."),
    "orderkeep_outcomes_total": Metric(
        "ingest", Counter, "Messages by their committed outcome.", ("outcome",)
    ),
    "orderkeep_rejected_messages_total": Metric(
        "ingest",
        Counter,
        "Messages that are no orders, by the kind of reject; anew when redelivered.",
        ("kind",),
    ),
    "orderkeep_batch_messages": Metric("ingest", Histogram, "Messages in a batch.", buckets=_MESSAGES),
    "orderkeep_batch_write_seconds": Metric(
        "ingest",
        Histogram,
        "From the start of decoding a batch to its commit, retries included.",
        buckets=_SECONDS,
    ),
    "orderkeep_batches_in_flight": Metric("ingest", Gauge, "Batches fetched and not acknowledged."),
    "orderkeep_retries_total": Metric(
        "ingest", Counter, "Writes tried again because of the world.", ("error",)
    ),
    "orderkeep_write_failing": Metric("ingest", Gauge, "1 from a write that failed until the next commit."),
    "orderkeep_watermark_age_seconds": Metric(
        "ingest",
        Gauge,
        "How long the oldest batch that is not acknowledged has been here; 0 without one.",
    ),
    "orderkeep_lag_messages": Metric(
        "ingest", Gauge, "Messages of a partition not acknowledged, fetched ones included.", ("partition",)
    ),
    "orderkeep_commit_delay_seconds": Metric(
        "ingest",
        Histogram,
        "From the broker's timestamp of a batch's last message to its commit.",
        buckets=_SECONDS,
    ),
    "orderkeep_broker_up": Metric("ingest", Gauge, "1 while a broker answers."),
    "orderkeep_http_requests_total": Metric(
        "both", Counter, "Requests by route and status, the fast lane included.", ("route", "status")
    ),
    "orderkeep_http_answer_seconds": Metric(
        "both",
        Histogram,
        "From a request's head to the head of its answer, by route, without the fast lane.",
        ("route",),
        buckets=_SECONDS,
    ),
    "orderkeep_reads_total": Metric(
        "api",
        Counter,
        "Orders read by id: in the fast lane, from the cache, from Redis, from the database.",
        ("source",),
    ),
    "orderkeep_cache_entries": Metric("api", Gauge, "Orders in the cache."),
    "orderkeep_cache_bytes": Metric("api", Gauge, "Bytes that the cache holds, its own overhead included."),
    "orderkeep_cache_max_bytes": Metric("api", Gauge, "Bytes that the cache may hold."),
    "orderkeep_cache_evictions_total": Metric("api", Counter, "Orders put out of the cache to make room."),
    "orderkeep_cache_restored_orders": Metric("api", Gauge, "Orders that the last restore brought back."),
    "orderkeep_cache_restore_seconds": Metric(
        "api", Gauge, "How long the last restore took, or has taken until now."
    ),
    "orderkeep_cache_restoring": Metric("api", Gauge, "1 during a restore."),
    "orderkeep_cache_following": Metric(
        "api", Gauge, "1 while new orders reach the cache as they are stored."
    ),
    "orderkeep_visible_delay_seconds": Metric(
        "api",
        Histogram,
        "From the start of the transaction that stored an order to its arrival in the cache: by the "
        "clocks of the database and this process, one order of each notice.",
        buckets=_SECONDS,
    ),
    "orderkeep_erased_orders_total": Metric(
        "api", Counter, "Orders that this process was told were erased, and has forgotten."
    ),
    "orderkeep_event_streams": Metric("api", Gauge, "Streams of events that are open."),
    "orderkeep_database_up": Metric("api", Gauge, "1 when the primary answered within a second just now."),
    "orderkeep_database_connections": Metric(
        "api", Gauge, "Open connections of a pool: at work, or waiting for some.", ("pool", "state")
    ),
    "orderkeep_database_max_connections": Metric(
        "api", Gauge, "Connections that a pool may have.", ("pool",)
    ),
    "orderkeep_notification_queue_ratio": Metric(
        "api", Gauge, "How full PostgreSQL's queue of notifications is; at 1 no batch can be committed."
    ),
    "orderkeep_redis_reads_total": Metric(
        "api", Counter, "Orders that Redis was asked for, once for all who wait for one.", ("result",)
    ),
    "orderkeep_redis_writes_total": Metric("api", Counter, "Orders for Redis to keep.", ("result",)),
    "orderkeep_redis_breaker_open": Metric("api", Gauge, "1 while Redis is not asked, because it failed."),
    "orderkeep_build_info": Metric("both", Gauge, "Always 1: what runs here.", ("version", "python")),
}


class Family(Struct, frozen=True):
    """A metric with its samples, as one process tells it to another: of each the name, labels and value."""

    name: str
    text: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


class Metrics:
    """The metrics of one process, by its role, in a registry of their own."""

    def __init__(self, role: Role) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each, of no use here
        self.registry = CollectorRegistry()
        self._made = {
            name: _make(name, metric, self.registry)
            for name, metric in METRICS.items()
            if metric.role in (role, "both")
        }
        self._told: dict[tuple[str, ...], float] = {}
        ProcessCollector(registry=self.registry)

    def add(self, name: MetricName, amount: float = 1, *labels: str) -> None:
        """Count on a counter, by `amount`."""
        self._child(name, labels).inc(amount)

    def set(self, name: MetricName, value: float, *labels: str) -> None:
        """Set a gauge. Of a counter, add what was counted elsewhere since: `value` in all."""
        if METRICS[name].kind is Counter:
            before = self._told.get((name, *labels), 0.0)
            self._told[name, *labels] = value
            self.add(name, max(0.0, value - before), *labels)
        else:
            self._child(name, labels).set(value)

    def set_all(self, name: MetricName, values: Mapping[str, float]) -> None:
        """Set a gauge with one label anew: what is not in `values` is gone."""
        self._made[name].clear()
        for label, value in values.items():
            self.set(name, value, label)

    def observe(self, name: MetricName, value: float, *labels: str) -> None:
        """Add to a histogram."""
        made = self._made[name]
        (made.labels(*labels) if labels else made).observe(value)

    def families(self) -> list[Family]:
        """All of it, to be told to another process."""
        return [
            Family(
                family.name,
                family.documentation,
                family.type,
                [(sample.name, sample.labels, sample.value) for sample in family.samples],
            )
            for family in self.registry.collect()
        ]

    def render(self) -> bytes:
        """The exposition, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _child(self, name: MetricName, labels: tuple[str, ...]) -> Any:
        made = self._made[name]
        return made.labels(*labels) if labels else made


def render_together(processes: Mapping[str, Iterable[Family]]) -> bytes:
    """The exposition of several processes, each with its name as the label `worker`.

    They are not added up: a process that begins anew begins at 0, and Prometheus has to see that.
    """
    return generate_latest(_Together(processes))


CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Together(Collector):
    def __init__(self, processes: Mapping[str, Iterable[Family]]) -> None:
        self._processes = processes

    def collect(self) -> Iterable[Exposed]:
        together: dict[str, Exposed] = {}
        for worker, families in self._processes.items():
            for family in families:
                exposed = together.setdefault(family.name, Exposed(family.name, family.text, family.kind))
                for name, labels, value in family.samples:
                    exposed.add_sample(name, {**labels, "worker": worker}, value)
        return together.values()


def _make(name: str, metric: Metric, registry: CollectorRegistry) -> Any:
    bare = name.removesuffix("_total")
    if metric.kind is Histogram:
        return Histogram(bare, metric.text, metric.labels, registry=registry, buckets=metric.buckets)
    return metric.kind(bare, metric.text, metric.labels, registry=registry)
