"""The way of an order: from the source, through decoding and the store, to the acknowledgement.

A batch is taken when a writer is free, so a slow database slows the source and nothing else. Batches are
written side by side and acknowledged in the order of delivery, each only when its transaction, and those
of all batches before it, are committed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

from orderkeep.errors import DataRefused, Fatal
from orderkeep.ingest.dead_letters import DeadLetters
from orderkeep.ingest.prepare import halves, prepare, refuse_single
from orderkeep.ingest.retry import Result, for_ever
from orderkeep.ingest.watermark import Watermark
from orderkeep.sources.source import Fetched, Source
from orderkeep.storage.store import Batch, Gap, OrderWriter, Outcome, Position, Refused, SourceIdentity

UNSETTLED_A_WRITER = 2
"""Batches that may wait, stored, for an older one to be committed: what bounds memory when one stalls."""


class Observer(Protocol):
    """Hears of everything that happens; called from the event loop and expected to return at once."""

    def fetched(self, fetched: Fetched) -> None: ...

    def refused(self, refused: Sequence[Refused]) -> None:
        """These were committed as rejects, or had been before."""

    def committed(self, fetched: Fetched, outcomes: Mapping[Outcome, int], seconds: float) -> None: ...

    def acknowledged(self, fetched: Fetched) -> None: ...

    def retried(self, error: Exception, seconds: float) -> None: ...


_Storing = asyncio.Future[Sequence[Refused]]


class _Unsettled(NamedTuple):
    fetched: Fetched
    watermark: Watermark
    storing: "_Storing"


class Pipeline:
    """One source into one store, through as many writers as are given."""

    def __init__(
        self,
        source: Source,
        writers: Sequence[OrderWriter],
        group: str,
        observer: Observer,
        *,
        accept_gaps: bool = False,
        dead_letters: DeadLetters | None = None,
    ) -> None:
        """With `accept_gaps`, messages that are gone from the broker are recorded and passed over.

        With `dead_letters`, what is kept aside is delivered there too, before it is acknowledged.
        """
        self._source = source
        self._writers = tuple(writers)
        self._free: asyncio.Queue[OrderWriter] = asyncio.Queue()
        self._group = group
        self._observer = observer
        self._accept_gaps = accept_gaps
        self._dead_letters = dead_letters
        self._ended_by: Fatal | None = None
        self._storing: set[_Storing] = set()
        self._unsettled: asyncio.Queue[_Unsettled | None] = asyncio.Queue(
            maxsize=len(writers) * UNSETTLED_A_WRITER
        )

    async def run(self, stop: asyncio.Event, deadline: float) -> bool:
        """Work until `stop` is set, then finish within `deadline` seconds what is in flight. Raises `Fatal`.

        False when the deadline came first: what is unfinished is not acknowledged, and comes again.
        """
        for writer in self._writers:
            self._free.put_nowait(writer)
        await self._source.open(self._resume, self._record_gap if self._accept_gaps else None)
        work = [asyncio.ensure_future(part) for part in (self._take(), self._settle())]
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((*work, stopping), return_when=asyncio.FIRST_COMPLETED)
            self._source.stop()
            _, unfinished = await asyncio.wait(work, timeout=deadline, return_when=asyncio.FIRST_EXCEPTION)
            for part in work:
                if part.done():
                    part.result()
            if self._ended_by is not None:
                raise self._ended_by
            return not unfinished
        finally:
            await _cancel([*work, stopping, *self._storing])
            await self._source.close()
            for writer in self._writers:
                await writer.close()

    async def _take(self) -> None:
        watermarks: dict[SourceIdentity, Watermark] = {}
        while (fetched := await self._fetch()) is not None:
            self._observer.fetched(fetched)
            writer = await self._free.get()
            # A topic that is made again begins at 0, while batches of the one before may still be in flight.
            watermark = watermarks.setdefault(fetched.source, Watermark())
            watermark.begin(fetched.spans)
            storing = asyncio.ensure_future(self._store(fetched, watermark, writer))
            self._storing.add(storing)
            storing.add_done_callback(self._end_storing)
            await self._unsettled.put(_Unsettled(fetched, watermark, storing))
        await self._unsettled.put(None)

    async def _fetch(self) -> Fetched | None:
        """The next batch. Whatever ends the source, what it handed over before is stored and acknowledged."""
        try:
            return await self._source.fetch()
        except Fatal as error:
            self._ended_by = error
            return None

    async def _settle(self) -> None:
        """Acknowledge in the order of delivery, however the transactions end."""
        latest: _Unsettled | None = None
        while (item := await self._unsettled.get()) is not None:
            await asyncio.wait((item.storing,))  # so that a cancellation here is not one of the store
            await self._deliver(item.fetched.source, item.storing.result())
            self._source.acknowledge(item.fetched)
            self._observer.acknowledged(item.fetched)
            item.watermark.settle(item.fetched.spans)
            latest = item
            if self._unsettled.empty():
                await self._record_rest(item)
        if latest is not None:
            await self._record_rest(latest)

    async def _store(self, fetched: Fetched, watermark: Watermark, writer: OrderWriter) -> Sequence[Refused]:
        """Returns what goes to the dead letters."""
        started = time.perf_counter()
        accepted, refused = prepare(fetched.messages)
        safe = watermark.safe(fetched.spans)
        progress = {part: Position(safe[part], span.end) for part, span in fetched.spans.items()}
        batch = Batch(fetched.source, self._group, accepted, refused, progress, fetched.shared)
        outcomes = await self._write(writer, batch)
        watermark.record(safe)
        watermark.end(fetched.spans)
        kept_aside = await self._kept_aside(writer, batch, outcomes)
        self._free.put_nowait(writer)
        self._observer.committed(fetched, outcomes, time.perf_counter() - started)
        return kept_aside

    async def _write(self, writer: OrderWriter, batch: Batch) -> Counter[Outcome]:
        """Write until it is committed; a value that the store refuses is found by halving the batch."""
        try:
            outcomes = Counter(await self._until_done(lambda: writer.write(batch)))
        except DataRefused as error:
            if not batch.accepted:
                raise Fatal(f"the database refuses to keep a rejected message: {error}") from error
            if len(batch.accepted) == 1:
                return await self._write(writer, refuse_single(batch, error))
            first, second = halves(batch)
            return await self._write(writer, first) + await self._write(writer, second)
        if batch.refused:
            self._observer.refused(batch.refused)
        return outcomes

    async def _until_done(self, call: Callable[[], Awaitable[Result]]) -> Result:
        return await for_ever(call, self._observer.retried)

    async def _kept_aside(
        self, writer: OrderWriter, batch: Batch, outcomes: Mapping[Outcome, int]
    ) -> Sequence[Refused]:
        """What of a committed batch is a dead letter: also what was kept before, and may not be delivered."""
        if self._dead_letters is None:
            return ()
        if outcomes["stored"] + outcomes["duplicate"] == len(batch.accepted):
            return batch.refused
        # Conflicts and what the database refused are known to the database.
        messages = [accepted.message for accepted in batch.accepted]
        return [*batch.refused, *await self._until_done(lambda: writer.kept_aside(batch.source, messages))]

    async def _deliver(self, source: SourceIdentity, refused: Sequence[Refused]) -> None:
        if self._dead_letters is not None and refused:
            dead_letters = self._dead_letters
            await self._until_done(lambda: dead_letters.deliver(source, refused))

    async def _record_rest(self, item: _Unsettled) -> None:
        """Bring `progress` up to what is committed, when the stream pauses after batches that overlapped."""
        rest = item.watermark.take_unrecorded()
        if not rest:
            return
        async with self._writer() as writer:
            await self._write(writer, Batch(item.fetched.source, self._group, (), (), rest))
        item.watermark.record({partition: position.next for partition, position in rest.items()})

    async def _resume(self, source: SourceIdentity) -> Mapping[int, int]:
        async with self._writer() as writer:
            return await self._until_done(lambda: writer.progress(source, self._group))

    async def _record_gap(self, source: SourceIdentity, gap: Gap) -> None:
        async with self._writer() as writer:
            await self._until_done(lambda: writer.record_gap(source, self._group, gap))

    def _end_storing(self, storing: _Storing) -> None:
        """Keep asyncio from complaining of a failure that came after the one that ends the pipeline."""
        self._storing.discard(storing)
        if not storing.cancelled():
            storing.exception()

    @asynccontextmanager
    async def _writer(self) -> AsyncIterator[OrderWriter]:
        """A writer that is free, until the block ends."""
        writer = await self._free.get()
        try:
            yield writer
        finally:
            self._free.put_nowait(writer)


async def _cancel(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    """Cancel what has not ended; the outcome of a store is then unknown, and its messages are redelivered."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
