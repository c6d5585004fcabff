"""Which acknowledgements are sent, and where a partition is read from."""

import threading

import pytest

from orderkeep.sources.assignment import Assignment, starting_offset
from orderkeep.sources.source import Span

NONE = -1001  # librdkafka's OFFSET_INVALID: the group has committed nothing


@pytest.mark.parametrize(
    ("committed", "known", "low", "start"),
    [
        (NONE, None, 0, 0),
        (NONE, None, 7, 7),
        (50, None, 7, 7),
        (50, 50, 0, 50),
        (50, 40, 0, 40),
        (40, 50, 0, 40),
        (NONE, 40, 0, 40),
        (NONE, 40, 60, 40),
        (0, 40, 0, 0),
        (40, 0, 0, 0),
    ],
)
def test_starting_offset(committed: int, known: int | None, low: int, start: int) -> None:
    """The smaller of the broker's and the database's position; without the latter, the beginning."""
    assert starting_offset(committed, known, low) == start


def assigned(*partitions: int) -> Assignment:
    assignment = Assignment()
    assignment.assign(dict.fromkeys(partitions, 0))
    return assignment


def handed_out(assignment: Assignment, following: int, partition: int = 0) -> dict[int, Span]:
    """Spans that reach from what was handed out before to `following`."""
    first = assignment.next_position(partition)
    spans = {partition: Span(first, following, None, assignment.epoch(partition))}
    assignment.hand_out(spans)
    return spans


def test_acknowledged_once() -> None:
    """What is acknowledged is taken once, as the position after it."""
    assignment = assigned(0, 1)
    assignment.acknowledge(handed_out(assignment, 10))
    assignment.acknowledge(handed_out(assignment, 20))
    assignment.acknowledge(handed_out(assignment, 5, partition=1))
    assert assignment.take_acknowledged() == {0: 20, 1: 5}
    assert assignment.take_acknowledged() == {}


def test_positions_follow_what_is_handed_out() -> None:
    """The position to read next is known from the assignment on, acknowledged or not."""
    assignment = Assignment()
    assignment.assign({0: 42})
    assert assignment.next_position(0) == 42
    handed_out(assignment, 50)
    assert assignment.next_position(0) == 50
    assert assignment.take_acknowledged() == {}


def test_late_acknowledgement() -> None:
    """An acknowledgement from before a partition was taken away is dropped, also when it is back."""
    assignment = assigned(0, 1)
    late, kept = handed_out(assignment, 10), handed_out(assignment, 3, partition=1)
    assignment.revoke([0])
    assignment.acknowledge(late | kept)
    assert assignment.take_acknowledged() == {1: 3}
    assignment.assign({0: 0})
    assignment.acknowledge(late)
    assert assignment.take_acknowledged() == {}
    assignment.acknowledge(handed_out(assignment, 4))
    assert assignment.take_acknowledged() == {0: 4}


def test_revoked_before_it_was_sent() -> None:
    """An acknowledgement that was not sent when the partition went is not sent for the next assignment."""
    assignment = assigned(0)
    assignment.acknowledge(handed_out(assignment, 10))
    assignment.revoke([0])
    assignment.assign({0: 0})
    assert assignment.take_acknowledged() == {}


def test_holds() -> None:
    """A partition is held from its assignment until it is revoked."""
    assignment = assigned(0, 1)
    assignment.revoke([1, 7])
    assert [assignment.holds(partition) for partition in (0, 1, 7, None)] == [True, False, False, False]
    assignment.forget_all()
    assert not assignment.holds(0)


def test_epochs() -> None:
    """Every assignment of a partition has an epoch of its own."""
    assignment = assigned(0, 1)
    seen = {assignment.epoch(0), assignment.epoch(1)}
    assignment.revoke([0])
    assignment.assign({0: 0})
    seen.add(assignment.epoch(0))
    assert len(seen) == 3


def test_settled() -> None:
    """Everything is settled when what was handed out is acknowledged, or belongs to nobody any more."""
    assignment = assigned(0, 1)
    assert assignment.wait_until_settled(0)
    first, second = handed_out(assignment, 10), handed_out(assignment, 5, partition=1)
    assert not assignment.wait_until_settled(0)
    assignment.acknowledge(first)
    assert not assignment.wait_until_settled(0)
    assignment.acknowledge(second)
    assert assignment.wait_until_settled(0)
    handed_out(assignment, 20)
    assignment.revoke([0])
    assert assignment.wait_until_settled(0)


def test_settled_by_another_thread() -> None:
    """Who waits is woken by the acknowledgement."""
    assignment = assigned(0)
    spans = handed_out(assignment, 10)
    acknowledging = threading.Thread(target=assignment.acknowledge, args=(spans,))
    acknowledging.start()
    assert assignment.wait_until_settled(60)
    acknowledging.join()


def test_handed_out_too_late() -> None:
    """A batch that was made before its partition went away neither counts nor moves the position."""
    assignment = assigned(0, 1)
    made = {0: Span(0, 10, None, assignment.epoch(0)), 1: Span(0, 10, None, assignment.epoch(1))}
    assignment.revoke([0, 1])
    assignment.assign({0: 3})
    assignment.hand_out(made)
    assert assignment.wait_until_settled(0)
    assert assignment.next_position(0) == 3
    assignment.acknowledge(made)
    assert assignment.take_acknowledged() == {}


def test_a_failed_commit_is_sent_again() -> None:
    """An offset whose commit failed is taken once more, unless a later one waits or the partition is gone."""
    assignment = assigned(0, 1)
    assignment.acknowledge(handed_out(assignment, 10))
    assert assignment.take_acknowledged() == {0: 10}
    assignment.acknowledge_again(0, 10)
    assert assignment.take_acknowledged() == {0: 10}
    assignment.acknowledge(handed_out(assignment, 20))
    assignment.acknowledge_again(0, 10)
    assert assignment.take_acknowledged() == {0: 20}
    assignment.revoke([0])
    assignment.acknowledge_again(0, 20)
    assert assignment.take_acknowledged() == {}
