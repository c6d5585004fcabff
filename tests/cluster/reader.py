"""Readers of orders through nginx who never rest, and one who waits for what is new."""

import random
import threading
import time
from collections import Counter
from typing import Final

from tests.chaos.http import Answer, HttpConnection
from tests.chaos.load import Load

READERS: Final = 4
PAUSE_SECONDS: Final = 0.02
"""Between two reads of a reader, and between two looks for what is new."""
ANSWER_SECONDS: Final = 30.0
NAMED_FAILURES: Final = 10


class Readers:
    """Threads over connections that stay open, each asking for one order after another.

    An order that was served once has to be served ever after, with the same bytes: everything else is a
    failed read, described in `failures`. A connection that is closed before anything of an answer came is
    opened and asked once more, as clients of HTTP do (RFC 9110, 9.2.2), and counted in `repeated`. A read
    that then fails too, or an answer that is cut off, is a failure.
    """

    def __init__(self, port: int, load: Load, seed: int) -> None:
        self.made: Counter[str] = Counter()
        """`reads` of orders that were served before, those that `failed`, and those `repeated`."""
        self.failures: list[str] = []
        self.delays: list[float] = []
        """Seconds from the broker's confirmation of an order to the first look that found it."""
        self._port, self._load, self._seed = port, load, seed
        self._served: dict[str, bytes] = {}
        self._names: list[str] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._read, args=(number,), daemon=True) for number in range(READERS)
        ]
        self._threads.append(threading.Thread(target=self._watch, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait for the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, number: int) -> None:
        dice = random.Random(f"reader {self._seed} {number}")
        connection = HttpConnection(self._port)
        while not self._stop.wait(PAUSE_SECONDS):
            if self._names:
                self._judge(uid := dice.choice(self._names), self._ask(connection, uid))
        connection.close()

    def _watch(self) -> None:
        """Look for the newest order that the broker has confirmed until it is there, then for the next."""
        connection = HttpConnection(self._port)
        while not self._stop.wait(PAUSE_SECONDS):
            if not self._load.known:
                continue
            uid, since = self._load.known[-1], time.monotonic()
            while not self._stop.is_set():
                answer = self._ask(connection, uid)
                if answer is not None and answer.status == 200:
                    self.delays.append(time.monotonic() - since)
                    self._judge(uid, answer)
                    break
                self._stop.wait(PAUSE_SECONDS)
        connection.close()

    def _ask(self, connection: HttpConnection, uid: str) -> Answer | None:
        """None when there was no answer, or only a part of one."""
        was_open = connection.is_open
        try:
            return connection.get(uid, ANSWER_SECONDS)
        except OSError as error:
            if not was_open or connection.has_begun:
                self._fail(f"GET {uid}: {error!r}{' in mid-answer' if connection.has_begun else ''}")
                connection.close()
                return None
        self.made["repeated"] += 1
        connection.close()
        return self._ask(connection, uid)

    def _judge(self, uid: str, answer: Answer | None) -> None:
        if answer is None:
            return
        self.made["reads"] += 1
        if answer.status != 200:
            self._fail(f"GET {uid} answered {answer.status} {answer.body[:200]!r}")
            return
        with self._lock:
            if uid not in self._served:
                self._served[uid] = answer.body
                self._names.append(uid)
        if answer.body != self._served[uid] or answer.body not in self._load.payloads[uid]:
            self._fail(f"GET {uid} served {answer.body[:200]!r}")

    def _fail(self, what: str) -> None:
        with self._lock:
            self.made["failed"] += 1
            if len(self.failures) < NAMED_FAILURES:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {what}")
