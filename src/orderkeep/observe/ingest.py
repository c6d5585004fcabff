"""What ingest tells of itself: metrics, log lines, and a summary for its health page."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, get_args

import structlog
from msgspec import Struct, field

from orderkeep.errors import RejectKind
from orderkeep.observe.metrics import Metrics
from orderkeep.observe.tracing import Traces, trace_batch
from orderkeep.sources.source import Fetched, Source
from orderkeep.storage.store import Outcome, Refused

log = structlog.get_logger()


_LATEST: Final = 500


class Percentiles(Struct, frozen=True):
    """In milliseconds, of the latest 500 batches."""

    p50: float
    p99: float


class IngestStatus(Struct):
    """Since the process started. `lag`: messages of each partition that is ours which are not acknowledged,
    where its end is known; `trouble`: the latest error, if it lasts.

    `commit_delay`: from the broker's timestamp of a batch's last message to its commit; `batch_write`: from
    the start of decoding a batch to its commit.
    """

    consumed: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    lag: dict[int, int] = field(default_factory=dict)
    trouble: str | None = None
    commit_delay: Percentiles | None = None
    batch_write: Percentiles | None = None


class IngestObserver:
    """The `Observer` of the pipeline."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._status = IngestStatus()
        self._source: Source | None = None
        self._traces: Traces | None = None
        self._in_flight: deque[tuple[Fetched, float]] = deque()
        self._delays: deque[float] = deque(maxlen=_LATEST)
        self._writes: deque[float] = deque(maxlen=_LATEST)
        # From 0 on: Prometheus sees no increase in a series that begins with what it counts.
        for outcome in get_args(Outcome):
            metrics.add("orderkeep_outcomes_total", 0, outcome)
        for kind in get_args(RejectKind):
            metrics.add("orderkeep_rejected_messages_total", 0, kind)

    def begin(self, source: Source) -> None:
        """From now on this source is read; nothing of one before is in flight."""
        self._source = source
        self._in_flight.clear()

    def trace(self, traces: Traces | None) -> None:
        """Tell there of batches, from now on, in which messages are traced."""
        self._traces = traces

    @property
    def status(self) -> IngestStatus:
        if self._source is not None:
            self._status.lag = dict(self._source.status().lag)
        self._status.commit_delay = _percentiles(self._delays)
        self._status.batch_write = _percentiles(self._writes)
        return self._status

    def tell(self) -> None:
        """Bring the metrics up to now: what is no event is looked up when somebody asks."""
        if self._source is not None:
            source = self._source.status()
            self._metrics.set("orderkeep_broker_up", source.connected)
            self._metrics.set_all(
                "orderkeep_lag_messages", {str(part): lag for part, lag in source.lag.items()}
            )
        oldest = self._in_flight[0][1] if self._in_flight else None
        age = 0.0 if oldest is None else time.monotonic() - oldest
        self._metrics.set("orderkeep_watermark_age_seconds", age)
        self._metrics.set("orderkeep_batches_in_flight", len(self._in_flight))
        self._metrics.set("orderkeep_write_failing", self._status.trouble is not None)

    def fetched(self, fetched: Fetched) -> None:
        self._status.consumed += len(fetched.messages)
        self._metrics.add("orderkeep_consumed_messages_total", len(fetched.messages))
        self._metrics.observe("orderkeep_batch_messages", len(fetched.messages))
        self._in_flight.append((fetched, time.monotonic()))

    def refused(self, refused: Sequence[Refused]) -> None:
        for kind, count in Counter(each.kind for each in refused).items():
            self._metrics.add("orderkeep_rejected_messages_total", count, kind)

    def acknowledged(self, fetched: Fetched) -> None:  # noqa: ARG002 - batches are acknowledged in their order
        self._in_flight.popleft()

    def committed(self, fetched: Fetched, outcomes: Mapping[Outcome, int], seconds: float) -> None:
        self._status.trouble = None
        self._status.outcomes = dict(Counter(self._status.outcomes) + Counter(outcomes))
        self._writes.append(seconds)
        self._metrics.observe("orderkeep_batch_write_seconds", seconds)
        for outcome, count in outcomes.items():
            self._metrics.add("orderkeep_outcomes_total", count, outcome)
        timestamp = fetched.messages[-1].timestamp_ms if fetched.messages else 0
        if timestamp > 0:
            self._delays.append(max(0.0, time.time() - timestamp / 1000))
            self._metrics.observe("orderkeep_commit_delay_seconds", self._delays[-1])
        if self._traces is not None:
            trace_batch(self._traces, fetched, outcomes, seconds)
        kept_aside = {name: outcomes[name] for name in ("rejected", "conflict") if outcomes.get(name)}
        if kept_aside:
            log.info("messages_rejected", topic=fetched.source.topic, **kept_aside)

    def retried(self, error: Exception, seconds: float) -> None:
        self._status.trouble = str(error)
        self._metrics.add("orderkeep_retries_total", 1, type(error).__name__)
        log.warning("write_retried", error=str(error), again_in=round(seconds, 2))


def _percentiles(seconds: Iterable[float]) -> Percentiles | None:
    ordered = sorted(seconds)
    if not ordered:
        return None
    p50, p99 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    return Percentiles(round(p50 * 1000, 3), round(p99 * 1000, 3))
