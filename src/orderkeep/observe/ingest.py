"""What ingest tells of itself: metrics, log lines, and a summary for its health page."""

import time
from collections import Counter
from collections.abc import Mapping

import structlog
from msgspec import Struct, field

from orderkeep.observe.metrics import Metrics
from orderkeep.sources.source import Fetched
from orderkeep.storage.store import Outcome

log = structlog.get_logger()


class IngestStatus(Struct):
    """Since the process started. `lag`: messages, by partition; `trouble`: the latest error, if it lasts."""

    consumed: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    lag: dict[int, int] = field(default_factory=dict)
    trouble: str | None = None


class IngestObserver:
    """The `Observer` of the pipeline."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.status = IngestStatus()

    def fetched(self, fetched: Fetched) -> None:
        self.status.consumed += len(fetched.messages)
        self._metrics.add("orderkeep_consumed_messages_total", len(fetched.messages))
        self._metrics.observe("orderkeep_batch_messages", len(fetched.messages))
        for partition, span in fetched.spans.items():
            if span.end is not None:
                self.status.lag[partition] = max(0, span.end - span.next)
                self._metrics.set("orderkeep_lag_messages", self.status.lag[partition], str(partition))

    def committed(self, fetched: Fetched, outcomes: Mapping[Outcome, int], seconds: float) -> None:
        self.status.trouble = None
        self.status.outcomes = dict(Counter(self.status.outcomes) + Counter(outcomes))
        self._metrics.observe("orderkeep_batch_write_seconds", seconds)
        for outcome, count in outcomes.items():
            self._metrics.add("orderkeep_outcomes_total", count, outcome)
        timestamp = fetched.messages[-1].timestamp_ms if fetched.messages else 0
        if timestamp > 0:
            self._metrics.observe("orderkeep_commit_delay_seconds", max(0.0, time.time() - timestamp / 1000))
        kept_aside = {name: outcomes[name] for name in ("rejected", "conflict") if outcomes.get(name)}
        if kept_aside:
            log.info("messages_rejected", topic=fetched.source.topic, **kept_aside)

    def retried(self, error: Exception, seconds: float) -> None:
        self.status.trouble = str(error)
        self._metrics.add("orderkeep_retries_total", 1, type(error).__name__)
        log.warning("write_retried", error=str(error), again_in=round(seconds, 2))
