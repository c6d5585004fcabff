"""Running until a signal: the parts of a process together, and what SIGINT and SIGTERM mean to them."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger()


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


async def run_together(
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
