"""uvicorn's HTTP protocol with the limits that it lacks: of sizes, of time, and of what waits for its turn.

Seen without them: hundreds of megabytes of headers accepted; half a request, and half a body, kept open for
ever; pipelined requests read without end by a connection whose answers nobody takes; an answer of 400
written before the answers that were due first; and the body of a request to upgrade read as a request.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orderkeep.api.connections import Connections
from orderkeep.api.refusals import MAX_BODY_BYTES, MAX_HEAD_BYTES, overloaded, refusal

HEAD_SECONDS = 10.0
BODY_SECONDS = 20.0
MAX_REQUESTS = 1_024
"""Requests that a process works on at a time; beyond it the answer is 503, but for health."""
LAST_WORDS_SECONDS = 0.5
"""After a process was asked to stop, so long a connection that is idle may still bring a request."""
ENDLESS = "/events"
"""The route whose answer has no end: its client hangs up."""

_MAX_MESSAGE_BYTES = MAX_HEAD_BYTES + 4 * MAX_BODY_BYTES  # chunks have sizes and extensions of their own
_PIECE = 4_096  # bytes parsed at a time: what is pipelined behind them waits as bytes, not as requests
_AT_ONCE = struct.pack("ii", 1, 0)  # socket(7): struct linger, on and 0 seconds
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 4 * 1024 * 1024


class BoundedProtocol(HttpToolsProtocol):
    """One connection. What is too large, too slow or no HTTP is answered with an error, and closed."""

    def __init__(self, connections: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shared = connections
        self._timer: asyncio.TimerHandle | None = None
        self._unread = b""  # received, and not parsed yet
        self._received = 0  # bytes of a message that is not complete
        self._head_size = 0  # bytes of what the parser has found in a head
        self._body_size = 0
        self._reading_body = False
        self._answering: RequestResponseCycle | None = None
        self._last = False  # nothing more is read as a request
        self._half_closed = False  # by the client, who may still wait for answers
        self._refusal: bytes | None = None  # said when what was asked before is answered
        self._lingered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn says Transport, asyncio BaseTransport
        self.flow = _Flow(self.transport, self._is_behind)
        if len(self.connections) > self._shared.limit:
            self._last = True
            self._shared.refusals[HTTPStatus.SERVICE_UNAVAILABLE] += 1
            self.transport.write(refusal(HTTPStatus.SERVICE_UNAVAILABLE, retry=True))
            self.transport.close()
            return
        self._start_timer(HEAD_SECONDS)
        if self._shared.draining:  # it was accepted in the moment of the end
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unread = b""
        self._last = True
        self._shared.resumed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._last:
            self._linger(data)
            return
        self._unread += data
        self._parse()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio asks for the answer, uvicorn has none
        """True while answers are due: to close now would lose them. TLS knows no half, and closes."""
        self._half_closed = True
        if self.scheme == "https":
            return False
        return not self._all_answered() and not self._is_endless()

    def on_message_begin(self) -> None:
        self._head_size = self._body_size = 0
        self._received = self._received or 1  # the rest of a piece, whose beginning was another message
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if name.lower() == b"content-length" and len(value) < 20 and int(value) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            raise _StopParsing
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._head_size > MAX_HEAD_BYTES:  # it came in one piece, so nothing was noticed on the way
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            raise _StopParsing
        super().on_headers_complete()
        self._stop_timer()
        self._reading_body = True
        if self._shared.draining:
            self.cycle.keep_alive = False  # the answer says so, and the client asks elsewhere

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            raise _StopParsing
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_timer()
        self._reading_body = False
        self._received = 0
        super().on_message_complete()
        if self.cycle.response_complete:  # it was answered before its end, and its end stopped the timer
            self._wait_for_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._parse()
        if (self._last or self._half_closed) and self._all_answered():
            self._end()

    def shutdown(self) -> None:
        """Let the client ask once more, and tell it with that answer that it was the last.

        To close at once would lose the request that is on its way: a client that sends one after another
        is between two of them for no more than a moment. One that really is idle is closed a little later.
        """
        if self._all_answered():
            self.loop.call_later(LAST_WORDS_SECONDS, self._end_idle)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._shared.paused(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._shared.resumed(self)

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def holds_output(self) -> bool:
        return self.flow.write_paused or self.transport.is_closing()

    def abort(self) -> None:
        # Without lingering, or the system would keep what is unsent for minutes more.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        busy = len(self.tasks) >= MAX_REQUESTS and not cycle.scope["path"].startswith("/health/")
        self._shared.refusals[HTTPStatus.SERVICE_UNAVAILABLE] += busy
        super()._start_asgi_task(cycle, overloaded if busy else app)  # type: ignore[arg-type] # two types of the same

    def _parse(self) -> None:
        """Parse what has come, as long as no request waits for its turn; then read on."""
        while self._unread and not self.pipeline and not self._last and not self.transport.is_closing():
            piece, self._unread = self._unread[:_PIECE], self._unread[_PIECE:]
            self._feed(piece)
        if self._is_behind():
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    def _is_behind(self) -> bool:
        return bool(self._unread or self.pipeline)

    def _all_answered(self) -> bool:
        cycle = self._answering
        return not self.pipeline and (cycle is None or cycle.response_complete or cycle.disconnected)

    def _is_endless(self) -> bool:
        """Whether what is being answered never ends by itself."""
        return self._answering is not None and self._answering.scope["path"] == ENDLESS

    def _feed(self, piece: bytes) -> None:
        self._unset_keepalive_if_required()
        self._received += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._take_as_last()
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        if self._reading_body and self._received > _MAX_MESSAGE_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif not self._reading_body and self._received > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if self._received and self._timer is None and not self._last:
            self._start_timer(BODY_SECONDS if self._reading_body else HEAD_SECONDS)

    def _take_as_last(self) -> None:
        """Answer the request as if it asked for no other protocol, and close.

        What follows may be its body, which the parser would take for a request.
        """
        self._stop_timer()
        self._last, self._unread = True, b""
        self.cycle.keep_alive = False

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with an error, behind what was asked before, and close."""
        if self._last:
            return
        self._stop_timer()
        self._last, self._unread = True, b""
        # A connection that never said a word is only closed.
        self._refusal = refusal(status, self.server_state.default_headers) if self._received else b""
        self._shared.refusals[status] += bool(self._refusal)
        if self._reading_body:
            self._give_up_body()
        if self._all_answered():
            self._end()

    def _give_up_body(self) -> None:
        """The error is the answer to the request whose body is at fault, unless it has one already."""
        if self.cycle.response_started:
            self._refusal = None
            self.cycle.keep_alive = False
            return
        self.cycle.disconnected = True  # what its handler says is dropped
        self.cycle.message_event.set()
        self.pipeline = type(self.pipeline)(each for each in self.pipeline if each[0] is not self.cycle)

    def _end(self) -> None:
        """Say why, if there is something to say, and close when the client has had time to read it.

        To close with bytes that nobody has read resets the connection, and the answer is lost with it.
        """
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if not self._refusal:
            self.transport.close()
            return
        self.transport.write(self._refusal)
        self._refusal = None
        if not self.transport.can_write_eof():  # TLS: its own end waits for the client's
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _end_idle(self) -> None:
        if self._all_answered():
            self.transport.close()

    def _linger(self, data: bytes) -> None:
        self._lingered += len(data)
        if self._lingered > _LINGER_BYTES:
            self.abort()

    def _wait_for_request(self) -> None:
        """Nothing of a next request has come: close when none does in time."""
        self._stop_timer()
        self._received = 0
        self._unset_keepalive_if_required()
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Flow(FlowControl):
    """Flow control that does not read on while requests wait for their turn."""

    def __init__(self, transport: asyncio.Transport, is_behind: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._is_behind = is_behind

    def resume_reading(self) -> None:
        if not self._is_behind():
            super().resume_reading()


class _StopParsing(Exception):
    """The connection was refused in the middle of what the parser was given."""
