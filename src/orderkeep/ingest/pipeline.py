"""The way of an order: from the source, through decoding and the store, to the acknowledgement.

A batch is taken when a writer is free, so a slow database slows the source and nothing else. Batches are
written side by side and acknowledged in the order of delivery, each only when its transaction, and those
of all batches before it, are committed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from orderkeep.errors import DatabaseWentBack, DataRefused, Fatal
from orderkeep.ingest.prepare import halves, prepare, refuse_single
from orderkeep.ingest.retry import for_ever
from orderkeep.ingest.watermark import Watermark
from orderkeep.sources.source import Fetched, Source
from orderkeep.storage.store import Batch, OrderWriter, Outcome, Position, SourceIdentity

UNSETTLED_A_WRITER = 2
"""Batches that may wait, stored, for an older one to be committed: what bounds memory when one stalls."""


class Observer(Protocol):
    """Hears of everything that happens; called from the event loop and expected to return at once."""

    def fetched(self, fetched: Fetched) -> None: ...

    def committed(self, fetched: Fetched, outcomes: Mapping[Outcome, int], seconds: float) -> None: ...

    def retried(self, error: Exception, seconds: float) -> None: ...


class _Unsettled(NamedTuple):
    fetched: Fetched
    watermark: Watermark
    storing: "asyncio.Future[None]"


class Pipeline:
    """One source into one store, through as many writers as are given."""

    def __init__(
        self, source: Source, writers: Sequence[OrderWriter], group: str, observer: Observer
    ) -> None:
        self._source = source
        self._writers = tuple(writers)
        self._free: asyncio.Queue[OrderWriter] = asyncio.Queue()
        self._group = group
        self._observer = observer
        self._storing: set[asyncio.Future[None]] = set()
        self._unsettled: asyncio.Queue[_Unsettled | None] = asyncio.Queue(
            maxsize=len(writers) * UNSETTLED_A_WRITER
        )

    async def run(self, stop: asyncio.Event, deadline: float) -> bool:
        """Work until `stop` is set, then finish within `deadline` seconds what is in flight. Raises `Fatal`.

        False when the deadline came first: what is unfinished is not acknowledged, and comes again.
        """
        for writer in self._writers:
            self._free.put_nowait(writer)
        await self._source.open(self._resume)
        work = [asyncio.ensure_future(part) for part in (self._take(), self._settle())]
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((*work, stopping), return_when=asyncio.FIRST_COMPLETED)
            self._source.stop()
            _, unfinished = await asyncio.wait(work, timeout=deadline, return_when=asyncio.FIRST_EXCEPTION)
            for part in work:
                if part.done():
                    part.result()
            return not unfinished
        finally:
            await _cancel([*work, stopping, *self._storing])
            await self._source.close()
            for writer in self._writers:
                await writer.close()

    async def _take(self) -> None:
        watermarks: dict[SourceIdentity, Watermark] = {}
        while (fetched := await self._source.fetch()) is not None:
            self._observer.fetched(fetched)
            writer = await self._free.get()
            # A topic that is made again begins at 0, while batches of the one before may still be in flight.
            watermark = watermarks.setdefault(fetched.source, Watermark())
            watermark.begin(fetched.spans)
            storing = asyncio.ensure_future(self._store(fetched, watermark, writer))
            self._storing.add(storing)
            storing.add_done_callback(self._storing.discard)
            await self._unsettled.put(_Unsettled(fetched, watermark, storing))
        await self._unsettled.put(None)

    async def _settle(self) -> None:
        """Acknowledge in the order of delivery, however the transactions end."""
        latest: _Unsettled | None = None
        while (item := await self._unsettled.get()) is not None:
            await item.storing
            self._source.acknowledge(item.fetched)
            item.watermark.settle(item.fetched.spans)
            latest = item
            if self._unsettled.empty():
                await self._record_rest(item)
        if latest is not None:
            await self._record_rest(latest)

    async def _store(self, fetched: Fetched, watermark: Watermark, writer: OrderWriter) -> None:
        started = time.perf_counter()
        accepted, refused = prepare(fetched.messages)
        safe = watermark.safe(fetched.spans)
        progress = {part: Position(safe[part], span.end) for part, span in fetched.spans.items()}
        batch = Batch(fetched.source, self._group, accepted, refused, progress)
        outcomes = await self._write(writer, batch, watermark)
        watermark.record(safe)
        watermark.end(fetched.spans)
        self._free.put_nowait(writer)
        self._observer.committed(fetched, outcomes, time.perf_counter() - started)

    async def _write(self, writer: OrderWriter, batch: Batch, watermark: Watermark) -> Counter[Outcome]:
        """Write until it is committed; a value that the store refuses is found by halving the batch."""
        failures = 0

        async def attempt() -> Mapping[Outcome, int]:
            if failures:
                await self._check_kept(writer, batch, watermark)
            return await writer.write(batch)

        def note(error: Exception, seconds: float) -> None:
            nonlocal failures
            failures += 1
            self._observer.retried(error, seconds)

        try:
            return Counter(await for_ever(attempt, note))
        except DataRefused as error:
            if not batch.accepted:
                raise Fatal(f"the database refuses to keep a rejected message: {error}") from error
            if len(batch.accepted) == 1:
                return await self._write(writer, refuse_single(batch, error), watermark)
            first, second = halves(batch)
            return await self._write(writer, first, watermark) + await self._write(writer, second, watermark)

    async def _check_kept(self, writer: OrderWriter, batch: Batch, watermark: Watermark) -> None:
        """After an outage: raises `DatabaseWentBack` when this is not the database, or not all of it."""
        known = await writer.progress(batch.source, self._group)
        for partition, recorded in watermark.recorded.items():
            if known.get(partition, 0) < recorded:
                raise DatabaseWentBack(
                    f"the database knows partition {partition} of {batch.source.topic} up to "
                    f"{known.get(partition, 0):,}, and had confirmed {recorded:,}"
                )

    async def _record_rest(self, item: _Unsettled) -> None:
        """Bring `progress` up to what is committed, when the stream pauses after batches that overlapped."""
        rest = item.watermark.take_unrecorded()
        if not rest:
            return
        writer = await self._free.get()
        await self._write(writer, Batch(item.fetched.source, self._group, (), (), rest), item.watermark)
        self._free.put_nowait(writer)
        item.watermark.record({partition: position.next for partition, position in rest.items()})

    async def _resume(self, source: SourceIdentity) -> Mapping[int, int]:
        writer = await self._free.get()
        try:
            return await for_ever(lambda: writer.progress(source, self._group), self._observer.retried)
        finally:
            self._free.put_nowait(writer)


async def _cancel(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    """Cancel what has not ended; the outcome of a store is then unknown, and its messages are redelivered."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
