"""The journal of events: bounded, and every event in it or counted, from wherever it is read."""

import asyncio
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from orderkeep.api import event_journal
from orderkeep.api.event_journal import Journal, Position
from orderkeep.storage.events import EventKind, EventPlace, Notice

BOTH: tuple[EventKind, ...] = ("stored", "rejected")
TIME = datetime(2026, 11, 21, tzinfo=UTC)


def notices(numbers: list[int]) -> list[Notice]:
    """Of each number so many keys, of either kind in turn."""
    kinds: tuple[EventKind, EventKind] = ("stored", "rejected")
    return [
        Notice(kinds[turn % 2], [f"{turn}{place:03}" for place in range(number)])
        for turn, number in enumerate(numbers)
    ]


@given(st.lists(st.integers(0, 9), max_size=20), st.sampled_from([BOTH, ("stored",), ("rejected",)]))
def test_positions(numbers: list[int], kinds: tuple[EventKind, ...]) -> None:
    """Behind every event in it the journal has just those that were noted later."""
    journal = Journal()
    journal.note(notices(numbers))
    noted = [(one.kind, key) for one in notices(numbers) if one.kind != "erased" for key in one.keys]
    assert journal.end == (
        sum(kind == "stored" for kind, _ in noted),
        sum(kind == "rejected" for kind, _ in noted),
    )
    for number, (kind, key) in enumerate(noted, 1):
        position = journal.find(EventPlace(TIME, kind, key))
        assert position is not None
        behind = [one for one in noted[number:] if one[0] in kinds]
        count = journal.end.count(kinds) - position.count(kinds)
        assert count == len(behind)
        assert [(one.kind, one.key) for one in journal.newest(kinds, count)] == behind
    assert journal.find(EventPlace(TIME, "stored", "not there")) is None
    assert journal.find(EventPlace(TIME)) is None


def test_bounded() -> None:
    """It holds so many and no more; what fell out is still counted."""
    journal = Journal()
    for number in range(30):
        journal.note([Notice("stored", [f"{number}-{place}" for place in range(1_000)])])
    assert journal.end == Position(30_000, 0)
    held = journal.newest(BOTH, 100_000)
    assert len(held) == event_journal.ENTRIES
    assert held[-1].key == "29-999"
    assert journal.find(EventPlace(TIME, "stored", "0-0")) is None


async def test_waiting() -> None:
    """Whoever waits is woken by what it waits for, and by the end."""
    journal = Journal()
    waiting = asyncio.create_task(journal.wait(journal.end, ["rejected"], 60))
    journal.note([Notice("stored", ["a"])])
    assert not await journal.wait(journal.end, BOTH, 0.01)
    assert not waiting.done()
    journal.note([Notice("rejected", ["1"])])
    assert await waiting
    waiting = asyncio.create_task(journal.wait(journal.end, BOTH, 60))
    journal.close("first")
    journal.close("second")
    assert await waiting
    assert journal.reason == "first"


def test_erased() -> None:
    """What was told of an order that was erased is not told again; everything else stays where it is."""
    journal = Journal()
    journal.note([Notice("stored", ["a", "b"]), Notice("rejected", ["1"])])
    for entry in journal.newest(BOTH, 3):
        entry.text = b"told"
    end = journal.end
    journal.note([Notice("erased", ["a", "1"])])
    assert [entry.text for entry in journal.newest(BOTH, 3)] == [b"", b"told", b"told"]
    assert journal.end == end
