"""A TCP proxy that can be told to misbehave: the network between two processes, in the hand of a test."""

import asyncio
import functools
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import uvloop

from orderkeep.embedded import ports

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""Closing with it sends RST at once, and what was not sent is dropped (socket(7), SO_LINGER)."""
_CHUNK = 262_144
_DONE_SECONDS = 0.1
"""After which a server has done what it was asked, though it is not known to the client."""
_SLICE = 0.05
"""Seconds' worth of a limited rate that a connection forwards at once."""


class Proxy:
    """Forwards connections from `127.0.0.1:port` to `127.0.0.1:target`, unless told otherwise.

    May be used from any thread; a call returns when it is in force. A mode lasts until `heal` or the next
    mode. All proxies share one thread.
    """

    host = ports.HOST

    def __init__(self, target: int, *, port: int | None = None) -> None:
        """Listen at once, on a free port unless one is given; at `target` nobody need listen yet."""
        self.target = target
        """The port that new connections are led to; may be assigned at any time."""
        self.port = ports.choose(port, "a proxy")
        self.forwarded = 0
        """Bytes, in both directions."""
        self._loop = _loop()
        self._links: set[_Link] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._swallows = False
        self._rate: float | None = None
        self._fatal: _Fatal | None = None
        self._free_at = {True: 0.0, False: 0.0}
        self._flapping: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self._buffer = memoryview(bytearray(_CHUNK))
        self.heal()

    @property
    def connections(self) -> int:
        """How many there are now, with those that wait until it forwards again."""
        return len(self._links)

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._enter(self._refuse, self._reset_all)

    def stall(self) -> None:
        """Keep connections, take new ones, forward nothing in either direction; `heal` forwards it all."""
        self._enter(self._hold_all)

    def limit(self, bytes_per_second: float) -> None:
        """Forward no more than this in each direction, all connections together."""
        self._enter(lambda: setattr(self, "_rate", bytes_per_second))

    def flap(self, seconds: float) -> None:
        """Reset all connections now, and again and again after so many seconds; new ones are taken."""
        self._enter(lambda: self._flap(seconds))

    def swallow_answers(self) -> None:
        """Forward what clients send and drop what they are sent.

        A connection that lost an answer cannot go on: the next mode resets it, and so does `heal`.
        """
        self._enter(lambda: setattr(self, "_swallows", True))

    def lose_answers_to(self, request: bytes, *, every: int = 1) -> None:
        """Of requests that hold these bytes let each `every`th through and reset the connection unanswered.

        The reset comes a moment later, when the server has done what it was asked.
        """
        self._enter(lambda: setattr(self, "_fatal", _Fatal(request, every)))

    def reset(self) -> None:
        """Reset all connections, once; new ones are treated as before."""
        self._call(self._reset_all)

    def heal(self) -> None:
        """Forward again. Connections that are there go on, unless they lost something."""
        self._enter()

    def close(self) -> None:
        """Reset all connections and give up the port. The proxy is of no use afterwards."""
        self._enter(self._reset_all, self._close_socket)

    def _enter(self, *steps: Callable[[], object]) -> None:
        self._call(self._leave, *steps)

    def _call(self, *steps: Callable[[], object]) -> None:
        async def run() -> None:
            for step in steps:
                step()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    # What follows runs in the thread of the loop.

    def _leave(self) -> None:
        """Whatever the mode was: listen and forward, and let go of what cannot go on."""
        self._swallows, self._rate, self._fatal = False, None, None
        self._free_at = {True: 0.0, False: 0.0}
        if self._flapping:
            self._flapping.cancel()
            self._flapping = None
        for link in list(self._links):
            if link.lost_something:
                link.reset()
            link.release("stalled")
            link.release("paced")
        self._flowing.set()
        self._listen()

    def _listen(self) -> None:
        if self._socket is None:
            self._socket = self._bound()
        self._socket.listen(1_000)
        self._loop.add_reader(self._socket, self._accept, self._socket)

    def _refuse(self) -> None:
        """The port stays ours: bound and not listened at, it refuses."""
        self._close_socket()
        self._socket = self._bound()

    def _bound(self) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((self.host, self.port))
        return made

    def _close_socket(self) -> None:
        if self._socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _hold_all(self) -> None:
        self._flowing.clear()
        for link in self._links:
            link.hold("stalled")

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    def _flap(self, seconds: float) -> None:
        self._reset_all()
        self._flapping = self._loop.call_later(seconds, self._flap, seconds)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # gone again already
            connection, _ = listener.accept()
            task = self._loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket) -> None:
        link = _Link(self)
        self._links.add(link)
        await self._loop.connect_accepted_socket(lambda: link.client, connection)
        link.client.read_or_not()
        while not self._flowing.is_set():
            await self._flowing.wait()
        if link not in self._links:
            return
        try:
            await self._loop.create_connection(lambda: link.server, self.host, self.target)
        except OSError:
            link.reset()
        link.server.read_or_not()
        link.client.release("alone")

    def _carry(self, end: "_End", data: bytes) -> None:
        link, asks = end.link, end is end.link.client
        if asks and self._fatal and self._fatal.hits(data):
            link.lost_something = True
            self._loop.call_later(_DONE_SECONDS, link.reset)
        elif not asks and (self._swallows or link.lost_something):
            link.lost_something = True
            return
        self.forwarded += len(data)
        end.other.write(data)
        if self._rate:
            self._free_at[asks] = max(self._loop.time(), self._free_at[asks]) + len(data) / self._rate
            end.hold("paced")
            self._loop.call_at(self._free_at[asks], end.release, "paced")

    def _room(self) -> memoryview:
        return self._buffer[: max(1, int(self._rate * _SLICE))] if self._rate else self._buffer


class _Fatal:
    """Which requests cost a connection its answer and its life."""

    def __init__(self, request: bytes, every: int) -> None:
        self._request, self._every, self._seen = request, every, 0

    def hits(self, data: bytes) -> bool:
        if self._request not in data:
            return False
        self._seen += 1
        return self._seen % self._every == 0


class _Link:
    """A connection that goes through the proxy: its two ends."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.lost_something = False
        self.client, self.server = _End(self), _End(self)
        self.client.other, self.server.other = self.server, self.client
        self.client.hold("alone")

    def hold(self, reason: str) -> None:
        self.client.hold(reason)
        self.server.hold(reason)

    def release(self, reason: str) -> None:
        self.client.release(reason)
        self.server.release(reason)

    def reset(self) -> None:
        self.proxy._links.discard(self)
        self.client.reset()
        self.server.reset()

    def ended(self) -> None:
        """One end said that it sends no more; after both did, the connection is over."""
        if self.client.has_ended and self.server.has_ended:
            self.proxy._links.discard(self)
            self.client.close()
            self.server.close()


class _End(asyncio.BufferedProtocol):
    """One end: what it receives goes to the other end, while nothing holds it."""

    other: "_End"

    def __init__(self, link: _Link) -> None:
        self.link = link
        self.has_ended = False
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._holds: set[str] = set()
        self._early: list[bytes] = []

    def hold(self, reason: str) -> None:
        self._holds.add(reason)
        self.read_or_not()

    def release(self, reason: str) -> None:
        self._holds.discard(reason)
        self.read_or_not()

    def read_or_not(self) -> None:
        """To be called once more after the connection is made: uvloop then reads whatever was said before."""
        if self._transport and self._holds:
            self._transport.pause_reading()
        elif self._transport and not self.has_ended:
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport:
            self._transport.write(data)
        else:
            self._early.append(data)

    def reset(self) -> None:
        self._is_over = True
        if self._transport and not self._transport.is_closing():
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
            self._transport.abort()

    def close(self) -> None:
        self._is_over = True
        if self._transport:
            self._transport.close()

    # What follows is called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is not one of it
        if self._is_over:
            self.reset()
        self._transport.writelines(self._early)
        if self.other.has_ended:
            self._transport.write_eof()

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self.link.proxy._room()

    def buffer_updated(self, count: int) -> None:
        proxy = self.link.proxy
        proxy._carry(self, bytes(proxy._buffer[:count]))

    def eof_received(self) -> bool:
        self.has_ended = True
        with suppress(OSError, RuntimeError):  # it is gone itself
            if self.other._transport:
                self.other._transport.write_eof()
        self.link.ended()
        return True

    def pause_writing(self) -> None:
        self.other.hold("full")

    def resume_writing(self) -> None:
        self.other.release("full")

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        if not self._is_over:
            self.link.reset()


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="proxies", daemon=True).start()
    return loop
