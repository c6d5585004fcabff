"""The demo's live line: redrawn in a terminal, repeated now and then elsewhere."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from orderkeep.demo.traffic import Latency

PLAIN_SECONDS = 5.0
RATE_SECONDS = 2.0


class StatusLine:
    """Published, stored, rejected, orders a second, lag, and how long an order takes to be seen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = (
            Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        )
        self._shown_at = float("-inf")
        self._stored: list[tuple[float, int]] = []

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, published: int, ingest: dict[str, Any], latency: Latency) -> None:
        """`ingest` is what its health page says; empty while it does not answer."""
        now = time.monotonic()
        text = self._text(now, published, ingest, latency)
        if self._live is not None:
            self._live.update(Text(text), refresh=True)
        elif now - self._shown_at >= PLAIN_SECONDS:
            self._shown_at = now
            self._console.print(text, markup=False, soft_wrap=True)

    def _text(self, now: float, published: int, ingest: dict[str, Any], latency: Latency) -> str:
        outcomes = ingest.get("outcomes", {})
        stored = outcomes.get("stored", 0)
        kept_aside = outcomes.get("rejected", 0) + outcomes.get("conflict", 0)
        lag = sum(ingest.get("lag", {}).values())
        seen = "" if latency.p50 is None else f"   seen after {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms"
        trouble = f"   {ingest['trouble']}" if ingest.get("trouble") else ""
        return (
            f"published {published:,}   stored {stored:,}   rejected {kept_aside:,}   "
            f"{self._rate(now, stored):,.0f} orders/s   lag {lag:,}{seen}{trouble}"
        )

    def _rate(self, now: float, stored: int) -> float:
        """Orders a second over the last seconds."""
        self._stored = [(at, count) for at, count in self._stored if now - at < RATE_SECONDS]
        self._stored.append((now, stored))
        (first_at, first), (last_at, last) = self._stored[0], self._stored[-1]
        return max(0, last - first) / (last_at - first_at) if last_at > first_at else 0.0
