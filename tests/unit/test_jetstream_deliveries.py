"""Which positions may be claimed of what a JetStream consumer delivers, alone and sharing."""

import pytest

from orderkeep.nats_connection import Headers, place, read_headers
from orderkeep.sources.jetstream_deliveries import Deliveries, Delivery
from orderkeep.storage.store import Message, SourceIdentity

SOURCE = SourceIdentity("jetstream", "orders", "one")


def begun(position: int = 1, number: int = 0, *, alone: bool = True) -> Deliveries:
    deliveries = Deliveries()
    deliveries.begin(SOURCE, position, number, alone=alone, announce=False)
    return deliveries


def deliver(deliveries: Deliveries, *pairs: tuple[int, int]) -> None:
    """Of positions, each with the number of its delivery."""
    for position, number in pairs:
        message = Message(0, position, b"%d" % position)
        deliveries.receive(Delivery(message, f"reply.{position}.{number}", number, 5))


def claim(deliveries: Deliveries) -> tuple[int, int]:
    fetched = deliveries.take()
    assert fetched is not None
    return fetched.spans[0].first, fetched.spans[0].next


def test_alone() -> None:
    """Alone, batches follow each other, and the end of the stream is known from what is left."""
    deliveries = begun()
    deliver(deliveries, (1, 1), (2, 2))
    fetched = deliveries.take()
    assert fetched is not None
    assert (fetched.spans[0].first, fetched.spans[0].next, fetched.spans[0].end) == (1, 3, 8)
    deliver(deliveries, (3, 3))
    assert claim(deliveries) == (3, 4)
    assert deliveries.take() is None


def test_sharing() -> None:
    """Once a delivery went to another, nothing is claimed but what the server says is acknowledged."""
    deliveries = begun()
    deliver(deliveries, (1, 1))
    assert claim(deliveries) == (1, 2)
    deliver(deliveries, (3, 3))
    assert claim(deliveries) == (1, 1)
    deliveries.note_floor(4, 3, at_rest=False)
    deliver(deliveries, (5, 5))
    assert claim(deliveries) == (4, 4)


def test_at_rest_again() -> None:
    """When nobody has anything in flight, the database hears of it, and positions are one's own again."""
    deliveries = begun()
    deliver(deliveries, (2, 2))
    assert claim(deliveries) == (1, 1)
    deliveries.note_floor(3, 2, at_rest=True)
    assert not deliveries.alone, "ours is still in flight"
    deliveries.acknowledge()
    deliveries.note_floor(4, 3, at_rest=True)
    assert claim(deliveries) == (4, 4)
    deliver(deliveries, (4, 4))
    assert claim(deliveries) == (4, 5)


def test_redelivered_while_in_flight() -> None:
    """What comes again while it waits or is in flight is dropped, and acknowledged once, as it came last."""
    deliveries = begun()
    deliver(deliveries, (1, 1), (2, 2), (1, 3))
    assert claim(deliveries) == (1, 3)
    deliver(deliveries, (2, 4))
    assert deliveries.take() is None
    deliveries.acknowledge()
    assert deliveries.take_acknowledged() == ["reply.1.3", "reply.2.4"]
    assert deliveries.take_acknowledged() == []


def test_an_epoch_that_has_ended() -> None:
    """Nothing that was delivered by a consumer that is gone is acknowledged to the next one."""
    deliveries = begun()
    deliver(deliveries, (1, 1), (2, 2))
    deliveries.take()
    deliveries.begin(SOURCE, 1, 0, alone=True, announce=True)
    assert deliveries.unacknowledged == []
    deliveries.acknowledge()
    assert not deliveries.due.is_set()
    assert claim(deliveries) == (1, 1)


def test_hole() -> None:
    """Alone, a batch ends before positions that are missing, until it is known why they are."""
    deliveries = begun()
    deliver(deliveries, (1, 1), (2, 2), (7, 3), (9, 4))
    assert claim(deliveries) == (1, 3)
    assert (deliveries.take(), deliveries.hole, deliveries.holed.is_set()) == (None, 3, True)
    deliveries.pass_hole()
    assert claim(deliveries) == (3, 10)


@pytest.mark.parametrize(
    ("block", "headers", "status"),
    [
        (b"NATS/1.0\r\na: 1\r\na:2\r\n\r\n", [(b"a", b"1"), (b"a", b"2")], {}),
        (b"NATS/1.0\r\n\xff: \xff:\xff\r\n\r\n", [(b"\xff", b"\xff:\xff")], {}),
        (b"NATS/1.0 409 Consumer Deleted\r\n\r\n", [], {"Status": "409", "Description": "Consumer Deleted"}),
        (b"NATS/1.0 \xff\r\nx\r\n\r\n", [], {"Status": "\ufffd", "Description": ""}),
        (b"NATS/1.0", [], {}),
        (b"", [], {}),
    ],
)
def test_headers(block: bytes, headers: list[tuple[bytes, bytes]], status: dict[str, str]) -> None:
    """Headers are read as they were sent, whatever they are, and a status only from the first line."""
    assert read_headers(Headers(block).raw) == headers
    assert dict(Headers(block)) == status


def test_place() -> None:
    """A message about a server shows no credentials."""
    assert place("nats://me:p@ss@one:4222, tls://token@two:4222") == "one:4222,two:4222"
