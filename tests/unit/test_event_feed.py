"""Streams of events over the store in memory: thinned, each event told once, read once for all of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence

import pytest

from orderkeep.api import event_stream
from orderkeep.api.event_feed import INTERRUPTED, STOPS, STREAMS, Feed
from orderkeep.api.event_stream import NO_DATABASE, TOO_SLOW
from orderkeep.api.event_text import HEARTBEAT, event_id, place_of
from orderkeep.cache.memory import MemoryCache
from orderkeep.cache.warm import Warmer
from orderkeep.errors import DatabaseUnavailable, Overloaded
from orderkeep.storage.events import EventKind, EventPlace, Missed, Notice, StoredEvent
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.memory_events import MemoryEvents
from tests.orders import order, orders_batch
from tests.server_sent_events import Told, events

BOTH: tuple[EventKind, ...] = ("stored", "rejected")


class Reader(MemoryEvents):
    """Counts what is read, and fails while it is away; something happens before it reads what was missed."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.read: Counter[str] = Counter()
        self.away = False
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def missed(self, place: EventPlace, kinds: Collection[EventKind], limit: int) -> Missed:
        if self.meanwhile:
            await self.meanwhile()
        return await super().missed(place, kinds, limit)

    async def stored(self, uids: Sequence[str]) -> list[StoredEvent]:
        if self.away:
            raise DatabaseUnavailable("away")
        self.read.update(uids)
        return await super().stored(uids)


class Scene:
    """A store, a feed that listens to it, and one that reads streams."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.reader = Reader(self.store)
        self.feed = Feed(self.reader)
        self._warming = asyncio.create_task(Warmer(self.store, [MemoryCache(1_000_000)], [self.feed]).run())
        self._written = 0

    async def write(self, *payloads: bytes) -> None:
        await self.store.write(orders_batch(payloads, first=self._written))
        self._written += len(payloads)
        await turn()

    async def open(
        self, last: EventPlace | None = None, kinds: tuple[EventKind, ...] = BOTH, limit: int = 50
    ) -> AsyncGenerator[bytes, None]:
        await turn()
        return (await self.feed.open(last, kinds, limit)).chunks()


async def turn() -> None:
    """Let all others run until they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def told(stream: AsyncGenerator[bytes, None]) -> list[Told]:
    """The events of the next chunk."""
    return list(events(iter((await anext(stream)).splitlines(keepends=True))))


async def names(stream: AsyncGenerator[bytes, None]) -> list[str]:
    return [one.name for one in await told(stream)]


async def test_read_once_for_all(scene: Scene) -> None:
    """What many streams tell is read once, and not at all when there is none."""
    await scene.write(order("unheard"))
    streams = [await scene.open() for _ in range(5)]
    for stream in streams:
        await anext(stream)
    await scene.write(order("a"), order("b"), b"garbage")
    found = await asyncio.gather(*map(names, streams))
    assert found == [["stored", "stored", "rejected"]] * 5
    assert scene.reader.read == {"a": 1, "b": 1}


async def test_thinned(scene: Scene) -> None:
    """A burst is told up to the limit: the newest, behind the count of the others, which has an id."""
    stream = await scene.open(limit=3)
    await anext(stream)
    await scene.write(*(order(f"{number}") for number in range(8)))
    skipped, *rest = await told(stream)
    assert (skipped.name, skipped.data) == ("skipped", {"count": 5})
    assert [one.data["order_uid"] for one in rest] == ["5", "6", "7"]
    last = place_of(skipped.id)
    assert last is not None
    assert last.key == "4"
    back = await scene.open(last)
    await anext(back)
    assert [one.id for one in await told(back)] == [one.id for one in rest]


async def test_nothing_twice_after_a_replay(scene: Scene) -> None:
    """What is heard while the database is read for what was missed is not told again."""
    await scene.write(order("a"))
    scene.reader.meanwhile = lambda: scene.write(order("b"))
    stream = await scene.open(EventPlace(await scene.reader.clock()))
    assert [one.data["order_uid"] for one in await told(stream) if one.name] == ["a", "b"]
    await scene.write(order("c"))
    assert [one.data["order_uid"] for one in await told(stream)] == ["c"]


async def test_gone_meanwhile(scene: Scene) -> None:
    """What cannot be found any more is counted."""
    stream = await scene.open()
    await anext(stream)
    scene.feed.hear([Notice("stored", ["gone"])])
    assert [(one.name, one.data) for one in await told(stream)] == [("skipped", {"count": 1})]


async def test_slow_client(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes long for a chunk is told so, and the stream ends."""
    monkeypatch.setattr(event_stream, "SLOW_SECONDS", 0.0)
    stream = await scene.open()
    await anext(stream)
    await scene.write(order("a"))
    assert await names(stream) == ["stored"]
    await asyncio.sleep(0.01)
    assert [one.data for one in await told(stream)] == [{"reason": TOO_SLOW}]
    assert [chunk async for chunk in stream] == []


async def test_database_away(scene: Scene) -> None:
    """Without the database the stream ends and says so."""
    stream = await scene.open()
    await anext(stream)
    await scene.write(order("a"))
    scene.reader.away = True
    assert [one.data for one in await told(stream)] == [{"reason": NO_DATABASE}]


@pytest.mark.parametrize("what", ["gap", "lost", "stop"])
async def test_ended(scene: Scene, what: str) -> None:
    """When something may have been missed, or the service stops, streams end; none begins without hearing."""
    stream = await scene.open()
    await anext(stream)
    stop = asyncio.Event()
    stopping = asyncio.create_task(scene.feed.stop_when(stop))
    {"gap": scene.feed.begin, "lost": scene.feed.end, "stop": stop.set}[what]()
    reason = STOPS if what == "stop" else INTERRUPTED
    assert [one.data for one in await told(stream)] == [{"reason": reason}]
    assert [chunk async for chunk in stream] == []
    if what == "gap":
        await anext(await scene.open())
    else:
        with pytest.raises(DatabaseUnavailable):
            await scene.open()
    stopping.cancel()


async def test_heartbeat(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing happens, something is sent."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.01)
    stream = await scene.open()
    await anext(stream)
    assert [await anext(stream), await anext(stream)] == [HEARTBEAT, HEARTBEAT]


async def test_many_streams(scene: Scene) -> None:
    """There is room for so many, and again when one has gone."""
    admitted = [scene.feed.admit() for _ in range(STREAMS)]
    for each in admitted:
        each.__enter__()
    with pytest.raises(Overloaded), scene.feed.admit():
        pass
    admitted[0].__exit__(None, None, None)
    with scene.feed.admit():
        assert scene.feed.streams == STREAMS


def test_ids() -> None:
    """An id stands for a place; what is none is known as such."""
    for place in ("1795252482506386.stored.a.b-c_d~e:f", "1795252482506386.rejected.17", "0.now"):
        found = place_of(place)
        assert found is not None
        assert event_id(found) == place
    for text in ("", "now", "1.now ", "1.stored.", "1.stored..", "-1.now", "1.rejected.a", "1.stored.a\n"):
        assert place_of(text) is None
