"""What was seen over HTTP, and whether it may be: bytes, statuses, and that nothing vanishes."""

import threading
import time
from collections import Counter

from tests.chaos.http import Answer
from tests.chaos.load import Load

NAMED_FAILURES = 10


class Witness:
    """Judges every answer. For several threads.

    `reads` counts the statuses; `wrong_bytes`, `vanished`, `server_errors` and `invented` count what must
    not be, the first of each described in `failures`. `refused` counts connections that did not work while a
    fault explained it.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}
        """uid → when it was first served, and which of what was sent for it: that must not change."""
        self.reads: Counter[int] = Counter()
        self.wrong_bytes = self.vanished = self.server_errors = self.invented = self.refused = 0
        self.may_vanish = False
        self.failures: list[str] = []

    def judge(self, uid: str, answer: Answer, asked_at: float, when: str) -> None:
        """`asked_at` is of time.monotonic; `when` says what was going on, to describe a failure with."""
        with self._lock:
            self.reads[answer.status] += 1
            if answer.status == 200:
                self._judge_order(uid, answer.body, when)
            elif answer.status == 404:
                self._judge_absence(uid, asked_at, when)
            elif answer.status != 503:
                self.server_errors += 1
                self._fail(f"GET {uid} answered {answer.status} {answer.body[:300]!r} {when}")
            elif not answer.has_header(b"retry-after"):
                self.server_errors += 1
                self._fail(f"GET {uid} answered 503 without Retry-After {when}")

    def refuse(self, error: Exception, when: str, *, explained: bool) -> None:
        """A connection was refused or broke, or no answer came."""
        with self._lock:
            self.refused += 1
            if not explained:
                self._fail(f"no answer over HTTP {when}: {error!r}")

    def _judge_order(self, uid: str, body: bytes, when: str) -> None:
        sent = self._load.payloads.get(uid)
        if sent is None:
            self.invented += 1
            self._fail(f"GET {uid} found an order that was not sent {when}")
            return
        which = sent.index(body) if body in sent else -1
        _, before = self._seen.setdefault(uid, (time.monotonic(), which))
        if which < 0 or which != before:
            self.wrong_bytes += 1
            self._fail(f"GET {uid} served {body[:300]!r}, and sent was {sent[before][:300]!r} {when}")

    def _judge_absence(self, uid: str, asked_at: float, when: str) -> None:
        seen_at, _ = self._seen.get(uid, (asked_at, 0))
        if seen_at >= asked_at:
            return
        if self.may_vanish:
            del self._seen[uid]
            return
        self.vanished += 1
        self._fail(f"GET {uid} answered 404 and was served before {when}")

    def _fail(self, what: str) -> None:
        if len(self.failures) < NAMED_FAILURES:
            self.failures.append(what)
