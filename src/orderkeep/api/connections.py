"""What the connections of a process share: how many there are, and what their clients have not taken."""

import asyncio
import resource
import sys
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

MAX_CONNECTIONS = 16_384
RESERVED_FILES = 256
"""Files that a process opens beside its clients' connections: to the database, and its own."""
MAX_UNSENT_BYTES = 256 * 1024 * 1024
LOOK_SECONDS = 10.0
SLOWEST_BYTES = 1_000
"""Bytes a second: a client that takes less of its answer is given up."""


class Connection(Protocol):
    """What is asked of a connection here."""

    def unsent(self) -> int:
        """Bytes of answers that the client has not taken, beside what the system holds for it."""

    def holds_output(self) -> bool:
        """Whether nothing is added to what is unsent: writing is paused, or the connection is closing."""

    def abort(self) -> None:
        """End it at once, and drop what is unsent."""


class Connections:
    """The limits that the connections of a process keep together."""

    def __init__(self, limit: int = MAX_CONNECTIONS, max_unsent: int = MAX_UNSENT_BYTES) -> None:
        """`limit` is the most connections, `max_unsent` the most bytes that may wait for slow clients."""
        self.limit = limit
        self.draining = False
        """Whether the process stops: what is asked now is the last on its connection."""
        self._max_unsent = max_unsent
        self._paused: dict[Connection, int] = {}  # those that wait longest come first
        self._bytes = 0
        self._seen: dict[Connection, int] = {}
        self.refusals: Counter[HTTPStatus] = Counter()
        """What was refused before any route saw it."""

    def paused(self, connection: Connection) -> None:
        """Its client takes less than it asks for. Beyond the limit, who has waited longest is given up."""
        self.resumed(connection)
        self._paused[connection] = connection.unsent()
        self._bytes += self._paused[connection]
        while self._bytes > self._max_unsent:
            longest = next(iter(self._paused))
            self.resumed(longest)
            longest.abort()

    def resumed(self, connection: Connection) -> None:
        """Its client has taken nearly all, or has gone."""
        self._bytes -= self._paused.pop(connection, 0)
        self._seen.pop(connection, None)

    def end_stalled(self, connections: Iterable[Connection]) -> None:
        """Give up the clients that have taken next to nothing since the last look."""
        before, self._seen = self._seen, {}
        for connection in list(connections):
            unsent = connection.unsent() if connection.holds_output() else 0
            if connection in before and unsent > max(0, before[connection] - SLOWEST_BYTES * LOOK_SECONDS):
                connection.abort()
            elif unsent:
                self._seen[connection] = unsent

    async def watch(self, connections: Iterable[Connection]) -> None:
        """Look at them every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.end_stalled(connections)


def allowed_connections() -> int:
    """How many connections the process may hold: MAX_CONNECTIONS, or as many as its files allow.

    Raises the soft limit of open files as far as the hard one allows.
    """
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    soft, hard = (_files(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    files = min(wanted, hard)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return max(1, files - RESERVED_FILES)


def _files(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
