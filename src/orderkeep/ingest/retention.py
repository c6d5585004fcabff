"""Discarding, after a time, what rejects hold: beside the pipeline, which never waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from orderkeep.errors import OrderkeepError
from orderkeep.storage.rejects import RejectStore

EVERY = 3600.0
"""Seconds between two looks."""

log = structlog.get_logger()


@asynccontextmanager
async def discarding(rejects: RejectStore, days: int) -> AsyncIterator[None]:
    """While the block runs, discard at once and every hour what is older. Closes `rejects`."""
    task = asyncio.create_task(_discard(rejects, timedelta(days=days)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await rejects.close()


async def _discard(rejects: RejectStore, older_than: timedelta) -> None:
    while True:
        try:
            if count := await rejects.discard(older_than):
                log.info("rejects_discarded", count=count)
        except OrderkeepError as error:  # also a Fatal: orders are stored without it
            log.warning("discard_failed", error=str(error))
        await asyncio.sleep(EVERY)
