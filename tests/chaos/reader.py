"""A reader of orders that never rests, and the reading of every order at the end."""

import random
import selectors
import threading
import time
from collections.abc import Callable

from tests.chaos.http import HttpConnection
from tests.chaos.load import Load
from tests.chaos.witness import Witness

CONNECTIONS = 8
FOR_UNKNOWN = 2
"""So many connections ask for what the cache may not have: when the database is away, they wait for long."""
RATE = 400.0
PATIENCE = 30.0
"""Seconds for an answer. The API gives up on its database after 15: 10 to connect, 5 for a statement."""
RETRY_SECONDS = 0.1
RECENT = 300


class Reader:
    """One thread over several connections, `RATE` reads a second as long as the API answers.

    `explained` tells whether a fault explains that there is no answer; `going_on` describes the moment.
    """

    def __init__(
        self,
        port: int,
        load: Load,
        witness: Witness,
        *,
        seed: int,
        explained: Callable[[], bool],
        going_on: Callable[[], str],
    ) -> None:
        self._load, self._witness = load, witness
        self._explained, self._going_on = explained, going_on
        self._dice = random.Random(f"reader {seed}")
        self._connections = [HttpConnection(port) for _ in range(CONNECTIONS)]
        self._asked_at = dict.fromkeys(self._connections, 0.0)
        self._not_before = dict.fromkeys(self._connections, 0.0)
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self.failure: str | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the end of the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            due = time.monotonic()
            while not self._stop.is_set():
                due = max(due, time.monotonic() - 0.1)
                while due <= time.monotonic():
                    self._ask_one()
                    due += 1 / RATE
                self._answers(max(0.0, due - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - told by the sequence
            self.failure = f"the reader failed: {error!r}"
        finally:
            for connection in self._connections:
                connection.close()
            self._selector.close()

    def _ask_one(self) -> None:
        now = time.monotonic()
        free = [each for each in self._connections if not each.asked and self._not_before[each] <= now]
        if not free:
            return
        connection = self._dice.choice(free)
        if connection in self._connections[:FOR_UNKNOWN]:
            uid = self._unknown() if self._dice.random() < 0.5 else self._known()
        else:
            uid = self._known()
        if uid is None:
            return
        try:
            if not connection.is_open:
                connection.open()
                self._selector.register(connection, selectors.EVENT_READ)
            self._asked_at[connection] = now
            connection.ask(uid)
        except OSError as error:
            self._broken(connection, error)

    def _answers(self, seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in self._selector.select(seconds):
            connection = key.fileobj
            assert isinstance(connection, HttpConnection)
            uid = connection.asked
            try:
                answer = connection.receive()
            except OSError as error:
                self._forget(key.fd)
                self._broken(connection, error, uid)
                continue
            if answer is not None and uid is not None:
                self._witness.judge(uid, answer, self._asked_at[connection], self._going_on())
                if answer.status == 503:
                    self._not_before[connection] = time.monotonic() + RETRY_SECONDS
            if not connection.is_open:
                self._forget(key.fd)
        self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        now = time.monotonic()
        for connection in self._connections:
            if connection.asked and now - self._asked_at[connection] > PATIENCE:
                self._forget(connection.fileno())
                uid = connection.asked
                connection.close()
                self._broken(connection, TimeoutError(f"nothing within {PATIENCE:g} s"), uid)

    def _broken(self, connection: HttpConnection, error: OSError, uid: str | None = "") -> None:
        """An idle connection may be closed by the server at any time; one that waits may not."""
        self._not_before[connection] = time.monotonic() + RETRY_SECONDS
        if uid is not None:
            self._witness.refuse(error, self._going_on(), explained=self._explained())

    def _forget(self, descriptor: int) -> None:
        """The descriptor may be closed already, and is then unknown to the kernel's part of the selector."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def _known(self) -> str | None:
        known = self._load.known
        if not known:
            return None
        if self._dice.random() < 0.5:
            return known[-1 - self._dice.randrange(min(RECENT, len(known)))]
        return known[self._dice.randrange(len(known))]

    def _unknown(self) -> str:
        if self._load.never and self._dice.random() < 0.5:
            return self._dice.choice(tuple(self._load.never))
        return f"never-sent-{self._dice.randrange(10**9)}"


def read_back(port: int, load: Load, witness: Witness) -> int:
    """Read every order that was sent: how many were. Each must be there; what is wrong, the witness has."""
    absent_before = witness.reads[404]
    connections = [HttpConnection(port) for _ in range(CONNECTIONS * 2)]
    uids = iter(load.known)
    count = 0
    while group := [(one, uid) for one, uid in zip(connections, uids, strict=False)]:
        for connection, uid in group:
            connection.ask(uid)
        for connection, uid in group:
            _read_one(connection, uid, witness)
        count += len(group)
    for connection in connections:
        connection.close()
    if absent := witness.reads[404] - absent_before:
        witness.failures.append(f"{absent} orders are not there at the end")
    return count


def _read_one(connection: HttpConnection, uid: str, witness: Witness) -> None:
    """The answer to what was asked; asked again when the database has no time for it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        while (answer := connection.receive()) is None:
            pass
        if answer.status != 503 or time.monotonic() > deadline:
            break
        time.sleep(RETRY_SECONDS)
        connection.ask(uid)
    witness.judge(uid, answer, time.monotonic(), "at the end")
