"""Which positions may be claimed of what a channel of NATS Streaming delivers, alone and sharing."""

from orderkeep.sources.source import Fetched
from orderkeep.sources.stan_deliveries import Deliveries
from orderkeep.stan_protocol import StanMessage
from orderkeep.storage.store import SourceIdentity

SOURCE = SourceIdentity("stan", "orders", "one")


def begun(position: int = 1, *, shared: bool = False, announce: bool = False) -> Deliveries:
    deliveries = Deliveries(shared=shared)
    deliveries.begin(SOURCE, position, announce=announce)
    return deliveries


def deliver(deliveries: Deliveries, *positions: int) -> None:
    for position in positions:
        deliveries.receive(StanMessage(position, b"%d" % position, 0))


def take(deliveries: Deliveries) -> Fetched:
    fetched = deliveries.take()
    assert fetched is not None
    return fetched


def claim(fetched: Fetched) -> tuple[int, int, bool]:
    span = fetched.spans[0]
    return span.first, span.next, fetched.shared


def positions(fetched: Fetched) -> list[int]:
    return [message.position for message in fetched.messages]


def test_alone() -> None:
    """Alone, batches follow each other; what comes again and is not in flight goes along."""
    deliveries = begun(3)
    deliver(deliveries, 1, 2, 3, 4)
    fetched = take(deliveries)
    assert positions(fetched) == [1, 2, 3, 4]
    assert claim(fetched) == (3, 5, False)
    deliver(deliveries, 3, 5)
    assert claim(take(deliveries)) == (5, 6, False)
    deliveries.acknowledge()
    assert deliveries.take_acknowledged() == [1, 2, 3, 4]
    deliver(deliveries, 4)  # which is stored: its acknowledgement was lost
    assert deliveries.take_acknowledged() == [4]
    deliver(deliveries, 2)
    fetched = take(deliveries)
    assert positions(fetched) == [2]
    assert claim(fetched) == (6, 6, False)


def test_skipped() -> None:
    """Alone, nothing behind a missing position is taken: the durable has been moved on."""
    deliveries = begun()
    deliver(deliveries, 1, 3, 4)
    assert deliveries.skipped.is_set()
    assert positions(take(deliveries)) == [1]
    deliver(deliveries, 2)
    assert deliveries.take() is None
    deliveries.resume()
    deliver(deliveries, 2, 3)
    assert positions(take(deliveries)) == [2, 3]


def test_sharing() -> None:
    """Once a position went to another, each is recorded by itself, and the database's floor is claimed."""
    deliveries = begun(shared=True)
    deliver(deliveries, 1, 2)
    assert claim(take(deliveries)) == (1, 3, False)
    deliver(deliveries, 4)
    assert claim(take(deliveries)) == (1, 1, True)
    assert deliveries.missing == 1
    deliveries.note_floor(4)
    assert claim(take(deliveries)) == (4, 4, True)
    assert deliveries.take() is None


def test_alone_again() -> None:
    """With nothing in flight anywhere, positions follow from our own deliveries again."""
    deliveries = begun(shared=True)
    deliver(deliveries, 2)
    take(deliveries)
    deliveries.note_floor(3)
    assert deliveries.sharing
    deliveries.acknowledge()
    deliveries.note_floor(3)
    assert not deliveries.sharing
    assert claim(take(deliveries)) == (3, 3, False)
    deliver(deliveries, 3)
    assert claim(take(deliveries)) == (3, 4, False)


def test_held_back() -> None:
    """What is read again comes before what the queue has brought meanwhile."""
    deliveries = begun(2, shared=True, announce=True)
    deliveries.hold_back()
    deliver(deliveries, 5, 6)
    assert deliveries.take() is None
    assert deliveries.lowest_from(2, 7) == 5
    deliver(deliveries, 2, 3, 4, 5)
    deliveries.release()
    assert positions(take(deliveries)) == [2, 3, 4, 5, 6]


def test_another_epoch() -> None:
    """What was taken of an earlier epoch is not acknowledged to the next; positions may be the same."""
    deliveries = begun()
    deliver(deliveries, 1, 2)
    old = take(deliveries)
    deliveries.begin(SOURCE._replace(incarnation="two"), 1, announce=True)
    assert claim(take(deliveries)) == (1, 1, False)
    deliver(deliveries, 1)
    new = take(deliveries)
    assert old.source != new.source
    for _ in range(2):
        deliveries.acknowledge()
    assert deliveries.take_acknowledged() == []
    deliveries.acknowledge()
    assert deliveries.take_acknowledged() == [1]


def test_end() -> None:
    """How far the channel goes is known from what was delivered, or looked at."""
    deliveries = begun()
    deliver(deliveries, 1)
    assert take(deliveries).spans[0].end == 2
    deliveries.note_end(10)
    deliver(deliveries, 2)
    assert take(deliveries).spans[0].end == 10
