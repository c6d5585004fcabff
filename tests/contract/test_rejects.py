"""What every store promises of rejects: all are listed, whole, in order, and kept so until discarded."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orderkeep.errors import Fatal, RejectKind
from orderkeep.ingest.replay import replay
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.memory_rejects import MemoryRejects
from orderkeep.storage.postgres_rejects import CHUNK, PostgresRejects
from orderkeep.storage.rejects import RejectFilter, RejectStore, RejectSummary
from orderkeep.storage.store import (
    Batch,
    Message,
    OrderReader,
    OrderWriter,
    Refused,
    SourceIdentity,
)
from tests.conftest import Database
from tests.contract.stores import Stores
from tests.orders import SOURCE, batch, order, orders_batch

ALL = RejectFilter()
ODD_MESSAGE = Message(3, 2**40, b"\xff\x00garbage", b"\x00key", ((b"na\xffme", b"\x00"), (b"null", None)))


@pytest.fixture
async def rejects(stores: Stores) -> AsyncIterator[RejectStore]:
    rejects = stores.reject_store()
    yield rejects
    await rejects.close()


async def refuse(
    writer: OrderWriter,
    message: Message,
    kind: RejectKind = "invalid",
    *,
    reason: str = "because",
    source: SourceIdentity = SOURCE,
) -> None:
    """Keep a message aside, whatever is in it."""
    counts = await writer.write(Batch(source, "group", [], [Refused(message, kind, reason)], {}))
    assert sum(counts.values()) == 1


async def test_nothing(rejects: RejectStore) -> None:
    """Where nothing was kept aside there is nothing to list, show or stream."""
    assert await rejects.page(ALL, 10) == []
    assert await rejects.get(1) is None
    assert await rejects.count(ALL) == 0
    assert [one async for one in rejects.iterate(ALL)] == []


async def test_summary(writer: OrderWriter, rejects: RejectStore) -> None:
    """A line of the list says what, why, when and where, and how large it is; not what is in it."""
    begun = datetime.now(UTC)
    await writer.write(orders_batch([order("a"), order("a", locale="other"), b"garbage", b"", None], first=7))
    found = await rejects.page(ALL, 10)
    told = {(one.position, one.kind, one.size, one.order_uid) for one in found}
    conflict = len(order("a", locale="other"))
    assert told == {
        (8, "conflict", conflict, "a"),
        (9, "not_json", 7, None),
        (10, "empty", 0, None),
        (11, "tombstone", None, None),
    }
    for one in found:
        assert type(one) is RejectSummary
        assert (one.source, one.topic, one.partition) == ("test", "orders", 0)
        assert one.reason
        assert one.replayed is None
        assert begun - timedelta(minutes=1) < one.received_at <= datetime.now(UTC) + timedelta(minutes=1)


async def test_whole(writer: OrderWriter, rejects: RejectStore) -> None:
    """A reject is shown as it came, key and headers included, whatever bytes they are."""
    await refuse(writer, ODD_MESSAGE, reason="why")
    (line,) = await rejects.page(ALL, 10)
    found = await rejects.get(line.id)
    assert found is not None
    assert (found.payload, found.key, found.headers) == (
        ODD_MESSAGE.payload,
        ODD_MESSAGE.key,
        ODD_MESSAGE.headers,
    )
    assert (found.partition, found.position, found.reason) == (3, 2**40, "why")
    assert (found.source, found.topic, found.incarnation) == SOURCE
    assert found.sha256 == sha256(b"\xff\x00garbage").hexdigest()
    assert found.stored is None
    assert [one async for one in rejects.iterate(ALL)] == [found]


async def test_both_versions(writer: OrderWriter, rejects: RejectStore) -> None:
    """A conflict comes with the order that is stored under its uid."""
    await writer.write(orders_batch([order("a"), order("a", locale="other")]))
    (line,) = await rejects.page(ALL, 10)
    found = await rejects.get(line.id)
    assert found is not None
    assert (found.stored, found.payload) == (order("a"), order("a", locale="other"))


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_pages(writer: OrderWriter, rejects: RejectStore, limit: int) -> None:
    """Pages walk through all of them once, newest first, whatever is kept aside meanwhile."""
    for number in range(8):
        await refuse(writer, Message(0, number, b"x"))
    walked: list[RejectSummary] = []
    before: int | None = None
    while page := await rejects.page(ALL, limit, before):
        assert len(page) <= limit
        walked += page
        before = page[-1].id
        await refuse(writer, Message(1, before, b"meanwhile"))
    assert [one.position for one in walked] == list(range(8))[::-1]


async def test_filters(writer: OrderWriter, rejects: RejectStore) -> None:
    """Kind, topic and time each leave out the others, alone and together, in every way to read them."""
    other = SourceIdentity("test", "other", "first")
    for number, (kind, source) in enumerate(
        [("invalid", SOURCE), ("not_json", SOURCE), ("invalid", other), ("empty", other)]
    ):
        await refuse(writer, Message(0, number, b"x"), kind, source=source)  # type: ignore[arg-type]  # a kind
    times = [one.received_at for one in await rejects.page(ALL, 10)][::-1]
    late = RejectFilter(since=times[2])
    early = RejectFilter(until=times[2])
    for wanted, expected in [
        (ALL, [0, 1, 2, 3]),
        (RejectFilter(kind="invalid"), [0, 2]),
        (RejectFilter(kind="nul"), []),
        (RejectFilter(topic="other"), [2, 3]),
        (RejectFilter(topic="nothing"), []),
        (RejectFilter(kind="invalid", topic="other"), [2]),
        (late, [number for number, time in enumerate(times) if time >= times[2]]),
        (early, [number for number, time in enumerate(times) if time < times[2]]),
        (RejectFilter(since=times[0], until=times[0]), []),
    ]:
        assert [one.position for one in await rejects.page(wanted, 10)] == expected[::-1]
        assert [one.position async for one in rejects.iterate(wanted)] == expected
        assert await rejects.count(wanted) == len(expected)


async def test_stream(writer: OrderWriter, rejects: RejectStore) -> None:
    """A stream has those that were there when it began, by id, however many; no later ones."""
    count = CHUNK * 2 + 1
    await writer.write(orders_batch([b"x%d" % number for number in range(count)]))
    seen = []
    async for one in rejects.iterate(ALL):
        seen.append(one)
        await refuse(writer, Message(9, one.id, b"meanwhile"))
    assert [one.payload for one in seen] == [b"x%d" % number for number in range(count)]
    assert [one.id for one in seen] == sorted(one.id for one in seen)
    assert await rejects.count(ALL) == count * 2


async def test_replays_are_noted(writer: OrderWriter, rejects: RejectStore) -> None:
    """The latest replay of a reject is shown with it, and with no other."""
    await writer.write(orders_batch([b"x", b"y"]))
    second, first = await rejects.page(ALL, 10)
    await rejects.record_replay(first.id, "begun", "")
    await rejects.record_replay(first.id, "stored", "a\0b\ud800" + "x" * 5_000)
    assert [one.replayed for one in await rejects.page(ALL, 10)] == [None, "stored"]
    found = await rejects.get(first.id)
    assert found is not None
    assert found.replayed == "stored"
    assert (await rejects.get(second.id)).replayed is None  # type: ignore[union-attr]  # it is there


class Replays:
    """Replays everything, and tells the outcomes by position."""

    def __init__(self, writer: OrderWriter, reader: OrderReader, rejects: RejectStore) -> None:
        self._parts = writer, reader, rejects

    async def __call__(self) -> dict[int, str]:
        writer, reader, rejects = self._parts
        told: dict[int, str] = {}
        async for one in rejects.iterate(ALL):
            told[one.position] = (await replay(one, writer, reader, rejects)).outcome
        listed = {one.position: one.replayed for one in await rejects.page(ALL, 1_000)}
        assert listed == told
        return told


@pytest.fixture
def replay_all(writer: OrderWriter, reader: OrderReader, rejects: RejectStore) -> Replays:
    return Replays(writer, reader, rejects)


async def test_replay(writer: OrderWriter, reader: OrderReader, stores: Stores, replay_all: Replays) -> None:
    """What is an order now is stored, a conflict and garbage stay; to repeat it changes nothing at all."""
    await writer.write(orders_batch([order("a"), order("a", locale="other"), b"garbage", None]))
    for position, payload in enumerate(
        [order("b"), order("b"), order("b", locale="other"), order("a"), order("a", locale="third")], 10
    ):
        await refuse(writer, Message(0, position, payload), "database" if position % 2 else "invalid")
    before = stores.rejects()
    progress = await writer.progress(SOURCE, "group")
    stays = {1: "conflict", 2: "rejected", 3: "rejected", 11: "duplicate", 12: "conflict", 13: "duplicate"}
    assert await replay_all() == {**stays, 10: "stored", 14: "conflict"}
    for _ in range(2):
        assert await replay_all() == {**stays, 10: "redelivered", 14: "conflict"}
    assert stores.rejects() == before
    assert await writer.progress(SOURCE, "group") == progress
    found = {one.order_uid: one.payload for one in await reader.orders(["a", "b"])}
    assert found == {"a": order("a"), "b": order("b")}
    # The broker delivers the same message again: it is known.
    counts = await writer.write(batch([Message(0, 10, order("b"))]))
    assert {outcome for outcome, count in counts.items() if count} == {"redelivered"}


@settings(
    max_examples=30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["en", "ru"]), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    rounds=st.integers(1, 3),
)
def test_any_rejects(steps: list[tuple[str, str, bool]], rounds: int) -> None:
    """Whatever was kept aside, after replays every message is stored, a duplicate or a conflict, once."""

    async def act() -> None:
        store = MemoryStore()
        rejects = MemoryRejects(store)
        for position, (uid, locale, aside) in enumerate(steps):
            message = Message(0, position, order(uid, locale=locale))
            if aside:
                await refuse(store, message, "database")
            else:
                await store.write(batch([message]))
        kept = await rejects.count(ALL)
        before = [one.payload async for one in rejects.iterate(ALL)]
        told = [await Replays(store, store, rejects)() for _ in range(rounds)]
        assert await rejects.count(ALL) == kept
        assert [one.payload async for one in rejects.iterate(ALL)] == before
        final = {uid: found.payload for uid, *_ in steps if (found := await store.order(uid))}
        assert final.keys() == {uid for uid, *_ in steps}
        for outcomes in told:
            for position, outcome in outcomes.items():
                uid, locale, _ = steps[position]
                assert (outcome == "conflict") == (order(uid, locale=locale) != final[uid])

    asyncio.run(act())


async def test_nothing_changes_a_replay(database: Database) -> None:
    """Ingest adds replays and readers read them; neither changes or deletes one."""
    for url, statements in {
        database.ingest_url: ["delete from replays", "update replays set outcome = 'x'", "truncate replays"],
        database.reader_url: [
            "insert into replays (reject_id, outcome, detail) values (1, '', '')",
            "delete from replays",
        ],
    }.items():
        connection = await asyncpg.connect(url)
        for sql in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql)
        await connection.fetch("select * from replays, rejects")
        await connection.close()


async def test_a_reader_notes_no_replay(database: Database) -> None:
    """To note a replay as a user who may only read says which role to grant, and reading goes on."""
    rejects = PostgresRejects(database.reader_url)
    with pytest.raises(Fatal, match="orderkeep_ingest"):
        await rejects.record_replay(1, "stored", "")
    assert await rejects.page(ALL, 1) == []
    await rejects.close()


def test_rare_ones_are_found_by_index(database: Database) -> None:
    """A list of a rare kind, or of a short time, does not read the whole table."""
    database.execute(
        "insert into sources (kind, topic, incarnation) values ('test', 'orders', 'first');"
        "insert into rejected_messages (source, partition, position, sha256, kind, reason, received_at)"
        " select 1, 0, i, '', case when i = 1 then 'nul' else 'invalid' end, '',"
        " timestamptz '2026-01-01' + i * interval '1 minute' from generate_series(1, 50000) as i;"
        "analyze rejected_messages"
    )
    for condition, index in {
        "kind = 'nul'": "rejected_messages_kind",
        "received_at between '2026-01-01' and '2026-01-01 00:10'": "rejected_messages_received_at",
    }.items():
        plan = database.fetch(f"explain select id from rejects where {condition} order by id desc limit 50")
        assert any(index in row[0] for row in plan), [row[0] for row in plan]
