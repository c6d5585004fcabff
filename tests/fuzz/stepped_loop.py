"""An event loop that a test turns by hand: no clock, no input or output, the same steps every time."""

import asyncio
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVarTuple

Given = TypeVarTuple("Given")

TURNS = 100_000
"""Callbacks in one go, beyond which something turns in circles."""


class SteppedLoop(asyncio.AbstractEventLoop):
    """Runs what is ready when told to; time passes only from one timer to the next, when told to."""

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._now = 0.0
        self._count = 0
        self.failures: list[dict[str, Any]] = []
        """What callbacks and forgotten tasks have raised; a test wants none."""

    def run_ready(self) -> None:
        """Run until everything waits."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            for _ in range(TURNS):
                if not self._ready:
                    return
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            events._set_running_loop(before)
        raise AssertionError(f"not idle after {TURNS} callbacks")

    def advance(self) -> bool:
        """Let time pass until the next timer, and run what it wakes. False when nothing waits for time."""
        while self._timers:
            when, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled():
                self._now = max(self._now, when)
                self._ready.append(handle)
                self.run_ready()
                return True
        return False

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """A task that begins when the loop is run."""
        return self.create_task(coroutine)

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(coro, loop=self, **options)

    def call_soon(
        self, callback: Callable[[*Given], object], *args: *Given, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Given], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Given], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asked by a handle: a cancelled one is passed over in `advance`."""
