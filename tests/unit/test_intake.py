"""Orders that are posted: those that wait share a transaction, and each is told its own outcome."""

import asyncio
from collections.abc import Sequence

import pytest

from orderkeep.errors import DatabaseUnavailable, DataRefused, NotAllowed, Rejected, ServerUnavailable
from orderkeep.ingest import intake
from orderkeep.ingest.intake import HTTP, Intake
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.store import Accepted, Addition, SourceIdentity
from tests.orders import order

POISON = "poison"


class SlowStore(MemoryStore):
    """A store that writes when it is let, notes each transaction, and refuses orders of the uid `poison`."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.groups: list[list[str]] = []
        self.failures: list[Exception] = []

    async def add(self, source: SourceIdentity, accepted: Sequence[Accepted]) -> list[Addition]:
        assert source == HTTP
        uids = [one.order_uid for one in accepted]
        self.groups.append(uids)
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        if POISON in uids:
            raise DataRefused("poison")
        return await super().add(source, accepted)


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def taker(store: SlowStore) -> Intake:
    return Intake(store, patience=0.0)


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def outcome(taker: Intake, payload: bytes) -> str:
    return (await taker.take(payload)).outcome


async def test_outcomes(taker: Intake) -> None:
    """An order is stored, found again, or in conflict with what is there."""
    assert (await taker.take(order("a")))[:2] == ("a", order("a"))
    assert await outcome(taker, order("a")) == "duplicate"
    assert await outcome(taker, order("a", locale="other")) == "conflict"
    with pytest.raises(Rejected, match="not_json"):
        await taker.take(b"garbage")


async def test_those_that_wait_share_a_transaction(store: SlowStore, taker: Intake) -> None:
    """While one is written the others wait, and are written together, in the order of their coming."""
    store.open.clear()
    uids = [f"uid-{number}" for number in range(50)]
    asking = []
    for uid in uids:
        asking.append(asyncio.create_task(outcome(taker, order(uid))))
        await settle()
    store.open.set()
    assert await asyncio.gather(*asking) == ["stored"] * 50
    assert store.groups == [uids[:1], uids[1:]]


@pytest.mark.parametrize(("limit", "value"), [("MOST_ORDERS", 3), ("MOST_BYTES", 3_000)])
async def test_groups_are_bounded(
    store: SlowStore, taker: Intake, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """A transaction has so many orders and bytes; one order alone may be larger."""
    monkeypatch.setattr(intake, limit, value)
    large = order("large", more="x" * 9_000)
    payloads = [large, *(order(f"uid-{number}") for number in range(8)), large]
    told = await asyncio.gather(*(outcome(taker, payload) for payload in payloads))
    assert told == ["stored"] * 9 + ["duplicate"]
    assert all(len(group) <= 3 for group in store.groups)
    assert len(store.groups) < len(payloads)


async def test_a_refused_value(store: SlowStore, taker: Intake) -> None:
    """A value that the database refuses is told to who sent it; the others of the group are stored."""
    store.open.clear()
    payloads = [order(uid) for uid in ("first", "a", "b", POISON, "c")]
    asking = [asyncio.create_task(outcome(taker, payload)) for payload in payloads]
    await settle()
    store.open.set()
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [one if isinstance(one, str) else type(one) for one in told] == [
        *("stored", "stored", "stored", DataRefused, "stored")
    ]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (DatabaseUnavailable("away"), ServerUnavailable),
        (NotAllowed("may not"), NotAllowed),
        (ZeroDivisionError("a mistake"), ZeroDivisionError),
    ],
)
async def test_failures(store: SlowStore, taker: Intake, failure: Exception, raised: type[Exception]) -> None:
    """Whatever fails, all of the group are told, and the next order is taken."""
    store.failures = [failure]
    payloads = [order("a"), order("b")]
    told = await asyncio.gather(*(taker.take(payload) for payload in payloads), return_exceptions=True)
    assert [type(one) for one in told] == [raised, raised]
    assert await outcome(taker, order("a")) == "stored"


async def test_an_answer_that_was_lost(store: SlowStore) -> None:
    """A transaction of unknown outcome is written again, and finds itself."""
    patient = Intake(store, patience=60.0)
    store.failures = [DatabaseUnavailable("lost")]
    assert await outcome(patient, order("a")) == "stored"
    assert store.groups == [["a"], ["a"]]


async def test_who_hangs_up(store: SlowStore, taker: Intake) -> None:
    """Who hangs up takes nothing from the others; what was not begun is not written."""
    store.open.clear()
    asking = [asyncio.create_task(outcome(taker, order(uid))) for uid in "abc"]
    await settle()
    asking[0].cancel()
    asking[1].cancel()
    await settle()
    store.open.set()
    assert await asking[2] == "stored"
    assert store.groups in ([["a", "b", "c"]], [["a"], ["c"]])
    assert await store.order("c") is not None


async def test_close(store: SlowStore, taker: Intake) -> None:
    """To close waits for nobody, and leaves nothing running."""
    store.open.clear()
    asking = asyncio.create_task(outcome(taker, order("a")))
    await settle()
    asking.cancel()
    await taker.close()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] in ([], [asking])
