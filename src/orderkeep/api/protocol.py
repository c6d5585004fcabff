"""uvicorn's HTTP protocol with the limits that it lacks: the size of a head, and the time it may take.

Seen without them: hundreds of megabytes of headers accepted, and half a request kept open for ever.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 32_768
HEAD_SECONDS = 10.0
MAX_CONNECTIONS = 10_000

_PROBLEM = b'{"type":"about:blank","title":"%b","status":%d}'


def _refusal(status: int, title: bytes) -> bytes:
    body = _PROBLEM % (title, status)
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
        b"connection: close\r\n\r\n%b" % (status, title, len(body), body)
    )


_TOO_LARGE = _refusal(431, b"Request Header Fields Too Large")
_TOO_SLOW = _refusal(408, b"Request Timeout")


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A head that is too large is answered with 431, one that takes too long with 408."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._received = 0  # bytes of a head that is not complete
        self._head_size = 0  # bytes of what the parser has found in a head
        self._reading_body = False
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn says Transport, asyncio BaseTransport
        if len(self.connections) > MAX_CONNECTIONS:
            self.transport.close()
            return
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._reading_body:
            self._received += len(data)
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_SLOW)
        super().data_received(data)
        if self._received > MAX_HEAD_BYTES and not self._reading_body:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._head_size = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_size += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._reading_body = True
        if self._head_size > MAX_HEAD_BYTES:  # it came in one piece, so nothing was noticed on the way
            self._refuse(_TOO_LARGE)
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._reading_body = False
        self._received = 0
        if not self._refused:
            super().on_message_complete()

    def _refuse(self, answer: bytes) -> None:
        self._stop_timer()
        self._refused = True
        if self.transport.is_closing():
            return
        # A connection that never said a word is only closed, and an answer under way is not interrupted.
        if self._received and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(answer)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
