"""The limits that connections keep together: what waits for slow clients, and how many there may be."""

import resource

from orderkeep.api.connections import (
    LOOK_SECONDS,
    MAX_CONNECTIONS,
    RESERVED_FILES,
    SLOWEST_BYTES,
    Connections,
    allowed_connections,
)


class Slow:
    """A connection of which the test says what its client has not taken."""

    def __init__(self, unsent: int = 0, *, held: bool = True) -> None:
        self.bytes, self.held, self.ended = unsent, held, False

    def unsent(self) -> int:
        return self.bytes

    def holds_output(self) -> bool:
        return self.held

    def abort(self) -> None:
        self.ended = True


def test_who_has_waited_longest_is_given_up() -> None:
    """What waits for slow clients is bounded: beyond it those end that have waited longest, and no others."""
    shared = Connections(max_unsent=1_000)
    slow = [Slow(300) for _ in range(5)]
    for connection in slow:
        shared.paused(connection)
    assert [connection.ended for connection in slow] == [True, True, False, False, False]
    shared.resumed(slow[2])
    shared.paused(Slow(300))
    assert not slow[3].ended
    shared.paused(Slow(5_000))  # larger than all that may wait: it ends itself, after the others
    assert all(connection.ended for connection in slow[3:])


def test_what_is_counted_is_given_back() -> None:
    """Clients that go, or pause again, are counted once."""
    shared = Connections(max_unsent=1_000)
    for _ in range(100):
        connection = Slow(900)
        shared.paused(connection)
        shared.paused(connection)
        shared.resumed(connection)
        shared.resumed(connection)
        assert not connection.ended


def test_stalled() -> None:
    """Who takes next to nothing between two looks is given up; who takes enough is not."""
    shared = Connections()
    enough = int(LOOK_SECONDS * SLOWEST_BYTES)
    stalled, trickling, reading, free = Slow(10**6), Slow(10**6), Slow(10**6), Slow(10**6, held=False)
    every = [stalled, trickling, reading, free]
    shared.end_stalled(every)
    assert not any(connection.ended for connection in every)
    trickling.bytes -= enough - 1
    reading.bytes -= enough
    shared.end_stalled(every)
    assert [connection.ended for connection in every] == [True, True, False, False]
    reading.bytes = 5
    shared.end_stalled([reading])
    shared.resumed(reading)  # all was taken, and more is waiting since
    shared.end_stalled([reading])
    assert not reading.ended
    shared.end_stalled([reading])
    assert reading.ended


def test_allowed_connections() -> None:
    """The soft limit of files is raised as far as connections are wanted, and some files stay for others."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 700), before[1]))
        allowed = allowed_connections()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hard == before[1]
        assert soft >= allowed + RESERVED_FILES
        assert allowed == min(MAX_CONNECTIONS, (2**62 if hard < 0 else hard) - RESERVED_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
