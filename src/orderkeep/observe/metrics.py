"""Every metric, in one typed place: its name, its kind, its labels and what it says."""

from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

MetricName = Literal[
    "orderkeep_consumed_messages_total",
    "orderkeep_outcomes_total",
    "orderkeep_batch_messages",
    "orderkeep_batch_write_seconds",
    "orderkeep_retries_total",
    "orderkeep_lag_messages",
    "orderkeep_commit_delay_seconds",
    "orderkeep_http_requests_total",
    "orderkeep_reads_total",
    "orderkeep_cache_entries",
    "orderkeep_cache_bytes",
    "orderkeep_cache_evictions_total",
    "orderkeep_cache_restored_orders",
    "orderkeep_cache_following",
    "orderkeep_erased_orders_total",
    "orderkeep_event_streams",
    "orderkeep_redis_reads_total",
    "orderkeep_redis_writes_total",
    "orderkeep_redis_breaker_open",
]


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
    "orderkeep_batch_messages": Metric("ingest", Histogram, "Messages in a batch.", buckets=_MESSAGES),
    "orderkeep_batch_write_seconds": Metric(
        "ingest",
        Histogram,
        "From the start of decoding a batch to its commit, retries included.",
        buckets=_SECONDS,
    ),
    "orderkeep_retries_total": Metric(
        "ingest", Counter, "Writes tried again because of the world.", ("error",)
    ),
    "orderkeep_lag_messages": Metric(
        "ingest", Gauge, "Messages of a partition not fetched yet.", ("partition",)
    ),
    "orderkeep_commit_delay_seconds": Metric(
        "ingest",
        Histogram,
        "From the broker's timestamp of a batch's last message to its commit.",
        buckets=_SECONDS,
    ),
    "orderkeep_http_requests_total": Metric(
        "both", Counter, "Requests by route and status.", ("route", "status")
    ),
    "orderkeep_reads_total": Metric(
        "api",
        Counter,
        "Orders read by id: in the fast lane, from the cache, from Redis, from the database.",
        ("source",),
    ),
    "orderkeep_cache_entries": Metric("api", Gauge, "Orders in the cache."),
    "orderkeep_cache_bytes": Metric("api", Gauge, "Bytes that the cache holds, its own overhead included."),
    "orderkeep_cache_evictions_total": Metric("api", Counter, "Orders put out of the cache to make room."),
    "orderkeep_cache_restored_orders": Metric("api", Gauge, "Orders that the last restore brought back."),
    "orderkeep_cache_following": Metric(
        "api", Gauge, "1 while new orders reach the cache as they are stored."
    ),
    "orderkeep_erased_orders_total": Metric(
        "api", Counter, "Orders that this process was told were erased, and has forgotten."
    ),
    "orderkeep_event_streams": Metric("api", Gauge, "Streams of events that are open."),
    "orderkeep_redis_reads_total": Metric(
        "api", Counter, "Orders that Redis was asked for, once for all who wait for one.", ("result",)
    ),
    "orderkeep_redis_writes_total": Metric("api", Counter, "Orders for Redis to keep.", ("result",)),
    "orderkeep_redis_breaker_open": Metric("api", Gauge, "1 while Redis is not asked, because it failed."),
}


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

    def add(self, name: MetricName, amount: float = 1, *labels: str) -> None:
        """Count on a counter, by `amount`."""
        self._child(name, labels).inc(amount)

    def set(self, name: MetricName, value: float, *labels: str) -> None:
        """Set a gauge; a counter that is kept elsewhere is brought up to `value`."""
        child = self._child(name, labels)
        if isinstance(child, Counter):
            child.inc(max(0.0, value - child._value.get()))  # noqa: SLF001 - no public way to read it back
        else:
            child.set(value)

    def observe(self, name: MetricName, value: float) -> None:
        """Add to a histogram."""
        self._made[name].observe(value)

    def render(self) -> bytes:
        """The exposition, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _child(self, name: MetricName, labels: tuple[str, ...]) -> "Counter | Gauge":
        made = self._made[name]
        child: Counter | Gauge = made.labels(*labels) if labels else made
        return child


CONTENT_TYPE = CONTENT_TYPE_LATEST


def _make(name: str, metric: Metric, registry: CollectorRegistry) -> Any:
    bare = name.removesuffix("_total")
    if metric.kind is Histogram:
        return Histogram(bare, metric.text, metric.labels, registry=registry, buckets=metric.buckets)
    return metric.kind(bare, metric.text, metric.labels, registry=registry)
