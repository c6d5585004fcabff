"""The way of an order through complete implementations in memory: acknowledged only when it is committed."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

from orderkeep.errors import DatabaseUnavailable, DataRefused, Fatal, OffsetGone, RejectKind
from orderkeep.ingest import retry
from orderkeep.ingest.pipeline import Pipeline
from orderkeep.sources import memory as memory_source
from orderkeep.sources.memory import MemorySource, MemoryTopic
from orderkeep.sources.source import AcceptGap, Fetched, Resume, Source, SourceStatus, Span
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.store import Batch, Outcome, Refused
from tests.orders import SOURCE, message, order

GROUP = "group"


@pytest.fixture(autouse=True)
def small_and_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a few messages, and retries at once."""
    monkeypatch.setattr(memory_source, "MAX_MESSAGES", 5)
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0001)


class Store(MemoryStore):
    """A store whose `before` is called with every batch: to wait there, or to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[Batch], object] = lambda _batch: None

    async def write(self, batch: Batch) -> dict[Outcome, int]:
        waiting = self.before(batch)
        if isinstance(waiting, asyncio.Event):
            await waiting.wait()
        for _ in range(random.randrange(10)):
            await asyncio.sleep(0)
        return await super().write(batch)

    def has(self, partition: int, position: int) -> bool:
        """Whether the message has its outcome."""
        origins = [origin for _, origin, _ in self._orders.values()] + [key for key, _ in self.rejects]
        return any(origin[1:] == (partition, position) for origin in origins)


class CheckedSource(MemorySource):
    """A source that fails at the first acknowledgement of a message without an outcome."""

    def __init__(self, topic: MemoryTopic, store: Store) -> None:
        super().__init__(topic, GROUP)
        self._store = store

    def acknowledge(self, fetched: Fetched) -> None:
        for partition, span in fetched.spans.items():
            assert all(self._store.has(partition, position) for position in range(span.next))
        super().acknowledge(fetched)


class Heard:
    """What the pipeline tells."""

    def __init__(self) -> None:
        self.fetches = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.kinds: Counter[RejectKind] = Counter()
        self.acknowledgements: list[Fetched] = []
        self.errors: list[Exception] = []

    def fetched(self, _fetched: Fetched) -> None:
        self.fetches += 1

    def refused(self, refused: Sequence[Refused]) -> None:
        self.kinds.update(each.kind for each in refused)

    def acknowledged(self, fetched: Fetched) -> None:
        self.acknowledgements.append(fetched)

    def committed(self, _fetched: Fetched, outcomes: Mapping[Outcome, int], _seconds: float) -> None:
        self.outcomes.update(outcomes)

    def retried(self, error: Exception, _seconds: float) -> None:
        self.errors.append(error)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def topic() -> MemoryTopic:
    return MemoryTopic("orders", partitions=3)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@asynccontextmanager
async def running(
    source: Source, store: Store, heard: Heard, *, deadline: float = 60.0, ends: bool = True
) -> AsyncIterator[None]:
    """A pipeline at work; asked to stop at the end, which it has to do as `ends` says."""
    stop = asyncio.Event()
    work = asyncio.create_task(Pipeline(source, [store] * 3, GROUP, heard).run(stop, deadline))
    yield
    stop.set()
    assert await asyncio.wait_for(work, 60) is ends


def publish(topic: MemoryTopic, count: int) -> None:
    for number in range(count):
        payload = order(f"uid-{number}") if number % 4 else b"garbage %d" % number
        topic.publish(payload, number % len(topic.partitions))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the stores under test have no event for it
            await asyncio.sleep(0.001)


def ends(topic: MemoryTopic) -> dict[int, int]:
    return {number: len(messages) for number, messages in enumerate(topic.partitions)}


async def test_everything_has_its_outcome(topic: MemoryTopic, store: Store, heard: Heard) -> None:
    """Whatever order the transactions end in, each message has one outcome before it is acknowledged."""
    publish(topic, 200)
    async with running(CheckedSource(topic, store), store, heard):
        await until(lambda: heard.outcomes.total() == 200)
    assert heard.outcomes == {"stored": 150, "rejected": 50}
    assert topic.committed == {(GROUP, partition): end for partition, end in ends(topic).items()}
    assert await store.progress(topic.source, GROUP) == ends(topic)


async def test_the_world_fails(topic: MemoryTopic, store: Store, heard: Heard) -> None:
    """Errors of the world are tried again: nothing is rejected for them, and nothing is lost."""
    publish(topic, 60)
    chance = random.Random(1)

    def fail_often(_batch: Batch) -> None:
        if chance.random() < 0.7:
            raise DatabaseUnavailable("away")

    store.before = fail_often
    async with running(CheckedSource(topic, store), store, heard):
        await until(lambda: heard.outcomes.total() == 60)
    assert heard.outcomes == {"stored": 45, "rejected": 15}
    assert heard.errors


async def test_refused_values(topic: MemoryTopic, store: Store, heard: Heard) -> None:
    """A value that the store refuses is found in its batch and kept aside; its neighbours are stored."""
    publish(topic, 40)
    bad = {"uid-1", "uid-2", "uid-17", "uid-39"}

    def refuse(batch: Batch) -> None:
        if bad & {accepted.order_uid for accepted in batch.accepted}:
            raise DataRefused("no such value")

    store.before = refuse
    async with running(CheckedSource(topic, store), store, heard):
        await until(lambda: heard.outcomes.total() == 40)
    assert heard.outcomes == {"stored": 26, "rejected": 14}
    refused = {reject.order_uid for reject, _ in store.rejects.values() if reject.kind == "database"}
    assert refused == bad
    assert await store.progress(topic.source, GROUP) == ends(topic)


async def test_set_up_fails(topic: MemoryTopic, store: Store, heard: Heard) -> None:
    """An error of the set-up ends the pipeline, and what it concerns is not acknowledged."""
    publish(topic, 10)
    hold = asyncio.Event()

    def fail(batch: Batch) -> object:
        if any(refused.message.position for refused in batch.refused):
            raise Fatal("no permission")
        return hold

    store.before = fail
    pipeline = Pipeline(CheckedSource(topic, store), [store] * 2, GROUP, heard)
    asyncio.get_running_loop().call_later(0.05, hold.set)
    with pytest.raises(Fatal, match="no permission"):
        await asyncio.wait_for(pipeline.run(asyncio.Event(), 60), 60)


async def test_deadline(topic: MemoryTopic, store: Store, heard: Heard) -> None:
    """What is not finished in time when asked to stop comes again, and is stored once."""
    publish(topic, 40)
    never = asyncio.Event()
    store.before = lambda batch: never if batch.progress.get(0) else None
    async with running(CheckedSource(topic, store), store, heard, deadline=0.05, ends=False):
        await until(lambda: heard.fetches >= 3)
    assert topic.committed.get((GROUP, 0), 0) < len(topic.partitions[0])
    store.before = lambda _batch: None
    async with running(CheckedSource(topic, store), store, heard):
        await until(lambda: topic.committed == {(GROUP, part): end for part, end in ends(topic).items()})
    assert (heard.outcomes["stored"], heard.outcomes["rejected"]) == (30, 10)


async def test_a_slow_store_slows_the_source(topic: MemoryTopic, store: Store, heard: Heard) -> None:
    """While nothing can be written, only a bounded number of batches is taken."""
    publish(topic, 1_000)
    gate = asyncio.Event()
    store.before = lambda _batch: gate
    async with running(CheckedSource(topic, store), store, heard):
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert heard.fetches <= 4  # three writers, and one batch that waits for a writer
        gate.set()
        await until(lambda: heard.outcomes.total() == 1_000)


class Given:
    """A source that hands over what it was given, then waits, or fails."""

    def __init__(self, *batches: Fetched, failure: Fatal | None = None) -> None:
        self._batches = list(batches)
        self._failure = failure
        self.acknowledged: list[Fetched] = []
        self._stopped = asyncio.Event()

    async def open(self, resume: Resume, _accept_gap: AcceptGap | None = None) -> None:
        await resume(SOURCE)

    async def fetch(self) -> Fetched | None:
        if self._batches:
            return self._batches.pop(0)
        if self._failure is not None:
            raise self._failure
        await self._stopped.wait()
        return None

    def acknowledge(self, fetched: Fetched) -> None:
        self.acknowledged.append(fetched)

    def status(self) -> SourceStatus:
        return SourceStatus(connected=True, lag={})

    def stop(self) -> None:
        self._stopped.set()

    async def close(self) -> None:
        self.stop()


async def test_topic_made_again_meanwhile(store: Store, heard: Heard) -> None:
    """Positions of a topic that was made again are not mixed with those still in flight of the one before."""
    again = SOURCE._replace(incarnation="second")
    old = Fetched(SOURCE, [message(order("old"), 100)], {0: Span(100, 101, None, 1)})
    new = Fetched(again, [message(order("new"), 0)], {0: Span(0, 1, None, 2)})
    gate = asyncio.Event()
    store.before = lambda batch: gate if batch.source == SOURCE else None
    source = Given(old, new)
    async with running(source, store, heard):
        await until(lambda: heard.outcomes.total() == 1)
        assert await store.progress(again, GROUP) == {0: 1}
        assert source.acknowledged == []
        gate.set()
        await until(lambda: source.acknowledged == [old, new])
    assert await store.progress(SOURCE, GROUP) == {0: 101}


async def test_a_source_that_fails(store: Store, heard: Heard) -> None:
    """What a source handed over before it failed for good is stored and acknowledged first."""
    batches = [Fetched(SOURCE, [message(order(f"o{n}"), n)], {0: Span(n, n + 1, None, 1)}) for n in range(5)]
    source = Given(*batches, failure=OffsetGone("messages were deleted"))
    with pytest.raises(OffsetGone):
        async with running(source, store, heard):
            await until(lambda: heard.outcomes.total() == 5)
    assert source.acknowledged == batches
