"""When a batch closes, and how it is cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orderkeep.sources.batching import LONGEST_LINGER, Linger, split_by_bytes
from orderkeep.sources.source import MAX_MESSAGES
from orderkeep.storage.store import Message
from tests.orders import message

sizes = st.lists(st.none() | st.integers(0, 40))


def made(lengths: list[int | None]) -> list[Message]:
    return [message(None if size is None else b"x" * size, place) for place, size in enumerate(lengths)]


def weight(messages: list[Message]) -> int:
    return sum(len(one.payload or b"") for one in messages)


@given(sizes, st.integers(1, 60))
def test_parts_are_the_whole(lengths: list[int | None], limit: int) -> None:
    """Cut by bytes and joined again, the messages are what they were, and no part is empty."""
    messages = made(lengths)
    parts = [list(part) for part in split_by_bytes(messages, limit)]
    assert [one for part in parts for one in part] == messages
    assert all(parts)


@given(sizes, st.integers(1, 60))
def test_parts_are_bounded(lengths: list[int | None], limit: int) -> None:
    """A part holds at most the limit, or a single message with bytes that is larger."""
    for part in split_by_bytes(made(lengths), limit):
        assert weight(list(part)) <= limit or sum(bool(one.payload) for one in part) == 1


@given(sizes, st.integers(1, 60))
def test_parts_are_few(lengths: list[int | None], limit: int) -> None:
    """A part is only closed when the next message would not fit."""
    parts = [list(part) for part in split_by_bytes(made(lengths), limit)]
    for part, following in pairwise(parts):
        assert weight([*part, following[0]]) > limit


def test_nothing_to_cut() -> None:
    """No messages make no parts."""
    assert list(split_by_bytes([])) == []


def test_a_slow_stream_waits_for_nothing() -> None:
    """While messages come one by one, no batch lingers."""
    linger = Linger()
    for held in (0, 1, 1, 0):
        assert linger.seconds == 0
        linger.note(held)


@given(st.lists(st.integers(0, MAX_MESSAGES), min_size=1))
def test_linger_is_bounded(held: list[int]) -> None:
    """However much comes, a batch never lingers longer than the longest."""
    linger = Linger()
    for count in held:
        linger.note(count)
        assert 0 <= linger.seconds <= LONGEST_LINGER


def test_linger_grows_with_the_stream() -> None:
    """The more a batch held, the longer the next one is collected."""
    linger = Linger()
    waits = []
    for count in (1, 2, 16, 128, 1_000):
        linger.note(count)
        waits.append(linger.seconds)
    assert waits == sorted(waits)
    assert waits[0] == 0
    assert waits[-1] == LONGEST_LINGER
