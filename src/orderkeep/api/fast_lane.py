"""The fast lane: a cached order is written to the connection before any request is parsed.

Clients repeat themselves: but for the uid, a client sends the same bytes again and again. So when a
connection is idle and the bytes are `GET /orders/<uid>` followed by a *tail* (everything from the space
after the path) that the real parser has already read, as one whole plain request, the answer is known
without parsing: the uid's entry in the cache. The lane parses nothing; it recognises bytes that the server
behind it has understood before. Whatever it does not recognise goes to that server, untouched.

A tail is judged on its second sight, so that tails which never return do not fill the bounded set.
"""

from collections.abc import Callable
from typing import Any

from orderkeep.api.connections import Connections
from orderkeep.api.protocol import BoundedProtocol

PATH = b"GET /orders/"
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
        b"authorization",
        b"traceparent",
    }
)

Lookup = Callable[[str], bytes | None]


class FastLane:
    """What the connections of a process share: the judged tails, and the prefix with the date."""

    def __init__(self, lookup: Lookup, allows_host: Callable[[str], bool]) -> None:
        """`lookup` gives the entry of a uid that is in memory; `allows_host` judges a Host header."""
        self.lookup = lookup
        self.hits = 0
        self.judged: set[bytes] = set()
        self._candidates: set[bytes] = set()
        self._allows_host = allows_host
        self._default_headers: object = None
        self._prefix = b""

    def prefix(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """The status line and uvicorn's own headers: it makes a new list once a second, for the date."""
        if default_headers is not self._default_headers:
            self._default_headers = default_headers
            lines = b"".join(b"%b: %b\r\n" % header for header in default_headers)
            self._prefix = b"HTTP/1.1 200 OK\r\n" + lines
        return self._prefix

    def judge(self, tail: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """The parser has read the tail as one whole HTTP/1.1 request, with these headers in lower case."""
        hosts = [value for name, value in headers if name == b"host"]
        plain = len(hosts) == 1 and not any(name in _NOT_PLAIN for name, _ in headers)
        if not plain or not self._allows_host(hosts[0].decode("latin-1")):
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

    def __init__(self, lane: FastLane, connections: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(connections, *args, **kwargs)
        self._lane = lane
        self._idle = True  # nothing of a message has begun, and nothing is left to answer
        self._message_complete = True
        self._messages = 0
        self._used = False

    def data_received(self, data: bytes) -> None:
        if not self._idle or not data.startswith(PATH):
            super().data_received(data)
            return
        end = data.find(b" ", len(PATH))
        tail = data[end:] if end > 0 else b""
        if tail in self._lane.judged:
            entry = self._lane.lookup(data[len(PATH) : end].decode("latin-1"))
            if entry is not None and not self.flow.write_paused:
                self._lane.hits += 1
                self._used = True
                if self._timer is not None:
                    self._wait_for_request()  # the timer of a head, which the parser has not seen
                self.transport.write(self._lane.prefix(self.server_state.default_headers) + entry)
                return
        self._parse_and_judge(data, tail)

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
        self._idle = False
        super().shutdown()

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
            and self._message_complete
            and self.cycle.response_complete
            and self.cycle.keep_alive
            and not self._is_behind()
        )
