"""The fast lane: an order is written to the connection before any request is parsed.

Clients repeat themselves: but for the uid, a client sends the same bytes again and again. So when a
connection is idle and the bytes are `GET /orders/<uid>` followed by a *tail* (everything from the space
after the path) that the real parser has already read, as one whole plain request, the answer is known
without parsing: the uid's entry in the cache. The lane parses nothing; it recognises bytes that the server
behind it has understood before. Whatever it does not recognise goes to that server, untouched.

A tail is judged on its second sight, so that tails which never return do not fill the bounded set. The key
of a request is part of its tail, so that one which was let in costs nothing more; when keys change, all
tails are taken back.

An order that is not in memory is asked of Redis or the database, and written when it comes. Should anything
else come first (more bytes, an end, a shutdown, a failure, or no answer for a while), the request is handed
over to the parser as if it had come just now; what it asks for is then being read already.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from orderkeep.api.connections import Connections
from orderkeep.api.protocol import BoundedProtocol
from orderkeep.cache.entry import Via, saying
from orderkeep.cache.read_through import Found
from orderkeep.errors import Overloaded
from orderkeep.order import is_uid

PATH = b"GET /orders/"
_UID = len(PATH)
LONGEST_TAIL = 2_048
MOST_TAILS = 256
MOST_CANDIDATES = 1_024

# What changes the answer, or has to be seen by someone behind the lane.
_NOT_PLAIN = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"traceparent",
    }
)

PATIENCE_SECONDS = 0.5
"""For an answer of the database; whoever waits longer waits behind the parser, with its limits of time."""

Ask = Callable[[str], "asyncio.Future[Found | None] | None"]
Headers = list[tuple[bytes, bytes]]


def leave_to_parser(_uid: str) -> None:
    """An `Ask` that asks nobody."""


class Peeked(Protocol):
    """A cache that is asked 100,000 times a second, and told of it ten times."""

    @property
    def peek(self) -> Callable[[str], bytes | None]:
        """Gives the entry of a uid that is in memory."""

    def note_asked(self, uids: Iterable[str]) -> None:
        """These were peeked at, in this order."""


class FastLane:
    """What the connections of a process share: the judged tails, and how every answer begins."""

    def __init__(
        self,
        cache: Peeked,
        ask: Ask,
        allows_host: Callable[[str], bool],
        may_read: Callable[[Headers], bool] = lambda _headers: True,
    ) -> None:
        """`ask` finds a uid that is not in memory, or gives None to leave it to the parser; `allows_host`
        judges a Host header, `may_read` whether headers have the key for an order.
        """
        self.peek = cache.peek
        self.ask = ask
        self.hit: list[str] = []
        """What was found in the cache since it was last told."""
        self.reads: Counter[Via] = Counter()
        """What was written without being in memory, by where it was found."""
        self._cache = cache
        self._hits = 0
        self.judged: set[bytes] = set()
        self.waiting: dict[FastLaneProtocol, float] = {}
        """Connections that wait for the database, with the time since when; the oldest first."""
        self._candidates: set[bytes] = set()
        self._allows_host = allows_host
        self._may_read = may_read
        self.connections: set[FastLaneProtocol] = set()
        self.begin_with(())

    def begin_with(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Every answer begins with these: the server's own, of which `date` changes once a second."""
        self.head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % header for header in headers)

    @property
    def hits(self) -> int:
        return self._hits + len(self.hit)

    def tell_cache(self) -> None:
        """Tell the cache what was asked for; called ten times a second, so that the list stays short."""
        self._hits += len(self.hit)
        self._cache.note_asked(self.hit)
        self.hit.clear()

    def hand_over_slow(self, now: float) -> None:
        """Hand over what has waited for too long; called now and then, with the loop's time."""
        for connection, since in list(self.waiting.items()):
            if now - since < PATIENCE_SECONDS:
                break
            connection.hand_over()

    def take_back(self) -> None:
        """Keys have changed: whatever was recognised has to be judged again, on every connection."""
        self.judged.clear()
        for connection in self.connections:
            connection.forget_tail()

    def judge(self, tail: bytes, headers: Headers) -> None:
        """The parser has read the tail as one whole HTTP/1.1 request, with these headers in lower case."""
        hosts = [value for name, value in headers if name == b"host"]
        plain = len(hosts) == 1 and not any(name in _NOT_PLAIN for name, _ in headers)
        if not plain or not self._allows_host(hosts[0].decode("latin-1")) or not self._may_read(headers):
            return
        if tail not in self._candidates:
            if len(self._candidates) >= MOST_CANDIDATES:
                self._candidates.clear()
            self._candidates.add(tail)
            return
        self._candidates.discard(tail)
        if len(self.judged) >= MOST_TAILS:
            self.judged.clear()
        self.judged.add(tail)


class FastLaneProtocol(BoundedProtocol):
    """One connection, with the lane in front of the parser."""

    # Looked up faster than in a dict as large as that of the classes above.
    __slots__ = (
        "_answer",
        "_cut",
        "_idle",
        "_lane",
        "_message_complete",
        "_messages",
        "_note_hit",
        "_peek",
        "_question",
        "_tail",
        "_used",
        "_write",
    )

    def __init__(self, lane: FastLane, connections: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(connections, *args, **kwargs)
        self._lane = lane
        self._peek = lane.peek
        self._note_hit = lane.hit.append
        # The judged tail that came last on this connection, and is likely to again. Nothing ends with ().
        self._tail: bytes | tuple[()] = ()
        self._cut = 0
        self._idle = True  # nothing of a message has begun, and nothing is left to answer
        self._message_complete = True
        self._messages = 0
        self._used = False  # since a timer was started
        self._question = b""  # the request whose answer comes from the database
        self._answer: asyncio.Future[Found | None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._lane.connections.add(self)
        self._write = self.transport.writelines

    def data_received(self, data: bytes) -> None:
        # Written out, with nothing looked up twice: this is all that a hit costs (docs/performance.md).
        if self._idle and data.endswith(self._tail) and data.startswith(PATH):
            uid = data[_UID : self._cut].decode("latin-1")
            entry = self._peek(uid)
            if entry is not None:  # so these bytes are a uid, and no more than that
                self._note_hit(uid)
                if not self._used:
                    self._use()
                self._write((self._lane.head, entry))
                return
        self._recognise(data)

    def _recognise(self, data: bytes) -> None:
        """The general way: another tail, an order that is not in memory, or anything else."""
        if not self._idle or not data.startswith(PATH):
            self.hand_over()
            super().data_received(data)
            return
        end = data.find(b" ", _UID)
        tail = data[end:] if end > 0 else b""
        if tail not in self._lane.judged:
            self._parse_and_judge(data, tail)
            return
        self._tail, self._cut = tail, -len(tail)
        uid = data[_UID:end].decode("latin-1")
        if self._peek(uid) is None:
            self._ask(uid, data)
        else:
            self.data_received(data)

    def forget_tail(self) -> None:
        """What came last on this connection is recognised no more."""
        self._tail = ()

    def eof_received(self) -> bool:  # type: ignore[override] # as in the class above
        self.hand_over()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._lane.connections.discard(self)
        super().connection_lost(exc)

    def hand_over(self) -> None:
        """Something else than the answer has come: the parser takes the request, if there is one."""
        if self._question:
            super().data_received(self._forget())

    def on_message_begin(self) -> None:
        self._idle = self._message_complete = False
        self._messages += 1
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._message_complete = True
        super().on_message_complete()
        self._rest()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._rest()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._idle = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self._rest()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one that the lane has used since is not idle."""
        if not self._used:
            super().timeout_keep_alive_handler()
            return
        self._used = False
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def shutdown(self) -> None:
        self._idle = False  # what the lane writes does not say that it is the last
        self.hand_over()
        super().shutdown()

    def _ask(self, uid: str, question: bytes) -> None:
        """Ask the database, and write what it answers."""
        try:
            answer = self._lane.ask(uid) if is_uid(uid) else None
        except Overloaded:
            answer = None
        if answer is None:
            super().data_received(question)
            return
        if not self._used:
            self._use()
        self._idle = False
        self._question, self._answer = question, answer
        self._lane.waiting[self] = self.loop.time()
        answer.add_done_callback(self._take)

    def _take(self, answer: "asyncio.Future[Found | None]") -> None:
        """Unless it is waited for no more: write the order, or leave it to the parser to say why not."""
        if answer is not self._answer:
            return
        found = None if answer.cancelled() or answer.exception() else answer.result()
        if found is None or self.transport.is_closing():
            self.hand_over()
            return
        self._forget()
        self._lane.reads[found.via] += 1
        self._write((self._lane.head, saying(found.entry, found.via)))
        self._rest()

    def _forget(self) -> bytes:
        """Wait for the database no more: the request that it was asked for."""
        question, self._question, self._answer = self._question, b"", None
        self._lane.waiting.pop(self, None)
        return question

    def _use(self) -> None:
        """The lane answers for the first time since a timer was started, which may be that of a head."""
        self._used = True
        if self._timer is not None:
            self._wait_for_request()

    def _refuse(self, status: HTTPStatus) -> None:
        super()._refuse(status)
        self._idle = False

    def _start_timer(self, seconds: float) -> None:
        super()._start_timer(seconds)
        self._used = False

    def _parse_and_judge(self, data: bytes, tail: bytes) -> None:
        before = self._messages
        super().data_received(data)
        if (
            0 < len(tail) <= LONGEST_TAIL
            and not self.transport.is_closing()
            and self._messages == before + 1
            and self._message_complete
            and not self._unread
            and self.scope["http_version"] == "1.1"
            and self.cycle.keep_alive
        ):
            self._lane.judge(tail, self.headers)

    def _rest(self) -> None:
        """Idle again when the message and its response are both complete, and nothing is waiting."""
        self._idle = (
            not self.transport.is_closing()
            and not self._last
            and not self._shared.draining
            and not self.flow.write_paused
            and self._message_complete
            and (self.cycle is None or (self.cycle.response_complete and self.cycle.keep_alive))
            and not self._is_behind()
        )
