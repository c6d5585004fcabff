"""Sending messages at a pace, with a progress bar, until there are enough or somebody says stop."""

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any, Final, Self

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from orderkeep.errors import ConfigurationError, OrderkeepError, Transient
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.publisher import Publisher

EARLY_SECONDS: Final = 0.001
"""Less than this is not waited for: the operating system cannot, and a message may as well go a bit early."""
CATCH_UP_SECONDS: Final = 0.25
"""After a stall at most so much of the missed is made up for; the rest is dropped from the schedule."""
LONGEST_WAIT_SECONDS: Final = 0.1
"""A stop is noticed, and the bar redrawn, after this at most."""
FLUSH_SECONDS: Final = 30.0


class PublishReport(Struct, frozen=True):
    """What came of it; `delivered` of `sent` messages were confirmed by the broker, in `seconds`.

    `kinds` counts `GeneratedMessage.kind`, `expected` the outcomes the service has to come to, where known.
    """

    sent: int
    delivered: int
    failed: int
    seconds: float
    interrupted: bool
    kinds: dict[str, int]
    expected: dict[str, int]

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.delivered / self.seconds if self.seconds else 0.0


class Pace:
    """An even schedule of `rate` messages a second; None is as fast as can be.

    In any stretch of t seconds at most (t + `CATCH_UP_SECONDS` + `EARLY_SECONDS`) * `rate` + 1 messages are
    due. Times are seconds of any one monotonic clock.
    """

    def __init__(self, rate: float | None) -> None:
        if rate is not None and not rate > 0:
            raise ConfigurationError(f"a rate of {rate:g} messages a second: give one above 0")
        self._interval = 0.0 if rate is None else 1 / rate
        self._due: float | None = None

    def delay(self, now: float) -> float:
        """Seconds until the next message is due, 0 if it is."""
        if not self._interval:
            return 0.0
        self._due = now if self._due is None else max(self._due, now - CATCH_UP_SECONDS)
        delay = self._due - now
        return delay if delay > EARLY_SECONDS else 0.0

    def sent(self) -> None:
        """The message that was due has gone."""
        if self._due is not None:
            self._due += self._interval


class _InputEnded(BaseException):
    """A signal came during a read of the input, which would go on reading otherwise."""


class StopOnSignal:
    """Within it, SIGINT and SIGTERM set `stop`; a second one does what it would have done without it.

    Nothing is torn by a signal, so that every message sent is counted, except a read of the input, which
    ends with `_InputEnded` while `reading` is set. In another thread than the main one, which alone may
    handle signals, it does nothing.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self._before: dict[int, Any] = {}
        self.reading = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.stop.set()
        self.__exit__()
        if self.reading:
            raise _InputEnded


class _Tally:
    """What has been sent so far, on the screen every `LONGEST_WAIT_SECONDS` and in the report at the end."""

    def __init__(self, publisher: Publisher, total: float | None, *, progress: bool) -> None:
        self._publisher = publisher
        self._delivered_before = publisher.delivered
        self._failed_before = publisher.failed
        self.started = self._redrawn = time.monotonic()
        self.sent = 0
        self._kinds: Counter[str] = Counter()
        self._expected: Counter[str] = Counter()
        self.bar = Progress(
            TextColumn("published"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not progress,
        )
        self._task = self.bar.add_task("", total=total, rate=0.0)

    @property
    def delivered(self) -> int:
        return self._publisher.delivered - self._delivered_before

    def add(self, message: GeneratedMessage) -> None:
        self.sent += 1
        self._kinds[message.kind] += 1
        if message.expected is not None:
            self._expected[message.expected] += 1

    def show(self, now: float, *, at_once: bool = False) -> None:
        if at_once or now - self._redrawn > LONGEST_WAIT_SECONDS:
            self._redrawn = now
            rate = self.delivered / max(now - self.started, LONGEST_WAIT_SECONDS)
            self.bar.update(self._task, completed=self.delivered, rate=rate)

    def report(self, *, interrupted: bool) -> PublishReport:
        return PublishReport(
            sent=self.sent,
            delivered=self.delivered,
            failed=self._publisher.failed - self._failed_before,
            seconds=time.monotonic() - self.started,
            interrupted=interrupted,
            kinds=dict(self._kinds),
            expected=dict(self._expected),
        )


def publish(
    publisher: Publisher,
    messages: Iterator[GeneratedMessage],
    *,
    count: int | None = None,
    rate: float | None = None,
    seconds: float | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> PublishReport:
    """Send `messages` until they end, or `count` are sent, or `seconds` have passed, or `stop` is set.

    `rate` is in messages a second; None is as fast as the broker takes them. Ctrl-C sets `stop`; a second
    one raises KeyboardInterrupt. Blocks until the broker has confirmed what was sent. Raises what the
    publisher does, except that after a stop it returns the report of what was confirmed by then. Leaves the
    publisher open.
    """
    if count is not None and count < 1:
        raise ConfigurationError(f"a count of {count} messages: give one above 0")
    pace = Pace(rate)
    stop = stop or threading.Event()
    tally = _Tally(publisher, _total(count, rate, seconds), progress=progress)
    with StopOnSignal(stop) as signals, tally.bar:
        with suppress(_InputEnded):
            end = math.inf if seconds is None else tally.started + seconds
            try:
                _send(publisher, messages, pace, tally, signals, count=count, end=end)
            except OrderkeepError:
                # One message that cannot be sent is no reason to lose those before it.
                with suppress(OrderkeepError):
                    publisher.flush(FLUSH_SECONDS)
                raise
        try:
            publisher.flush(FLUSH_SECONDS)
        except Transient:
            if not stop.is_set():
                raise
        tally.show(time.monotonic(), at_once=True)
    return tally.report(interrupted=stop.is_set())


def _send(
    publisher: Publisher,
    messages: Iterator[GeneratedMessage],
    pace: Pace,
    tally: _Tally,
    signals: StopOnSignal,
    *,
    count: int | None,
    end: float,
) -> None:
    while not signals.stop.is_set() and tally.sent != count and (now := time.monotonic()) < end:
        tally.show(now)
        if delay := pace.delay(now):
            publisher.serve(min(delay, end - now, LONGEST_WAIT_SECONDS))
            continue
        signals.reading = True
        message = next(messages, None)
        signals.reading = False
        if message is None:
            return
        publisher.send(message)
        pace.sent()
        tally.add(message)


def _total(count: int | None, rate: float | None, seconds: float | None) -> float | None:
    """How many messages there will be, as far as it can be known."""
    timed = rate * seconds if rate is not None and seconds is not None else None
    known = [total for total in (count, timed) if total is not None]
    return min(known, default=None)
