"""Running an application on a socket until it is told to stop."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from litestar.types import ASGIApp

from orderkeep.api.connections import Connections
from orderkeep.api.fast_lane import FastLane, FastLaneProtocol
from orderkeep.api.protocol import BoundedProtocol
from orderkeep.api.tls import Tls
from orderkeep.errors import ConfigurationError

KEEP_ALIVE_SECONDS = 30
DRAIN_SECONDS = 5
BACKLOG = 2_048
HANDSHAKE_SECONDS = 10.0
"""For TLS; a connection is counted, and its head has its own time, when that is done."""


class Server(uvicorn.Server):
    """uvicorn's server without its handling of signals: the process decides what a signal means.

    It tells `lane` what time it is: the headers that it makes anew once a second, and who waits for too long.
    """

    def __init__(self, config: uvicorn.Config, lane: FastLane | None, tls: Tls | None) -> None:
        super().__init__(config)
        self._lane = lane
        self._tls = tls
        self._told: list[tuple[bytes, bytes]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; with TLS as uvicorn would, but with a limit of time for the handshake."""
        if self._tls is None:
            await super().startup(sockets)
            return
        await self.lifespan.startup()
        make: Any = self.config.http_protocol_class
        state = {"server_state": self.server_state, "app_state": self.lifespan.state}
        self.servers = [
            await asyncio.get_running_loop().create_server(
                partial(make, config=self.config, **state),
                sock=listener,
                ssl=self._tls.context,
                backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
            for listener in sockets or ()
        ]
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        ends = await super().on_tick(counter)
        if self._lane is not None:
            self._lane.tell_cache()
            self._lane.hand_over_slow(asyncio.get_running_loop().time())
            if self.server_state.default_headers is not self._told:
                self._told = self.server_state.default_headers
                self._lane.begin_with(self._told)
        return ends

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """A listening socket. Raises `ConfigurationError` that names `setting` when the port cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): stop what uses it, or set {setting}"
        ) from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def address(listener: socket.socket, *, secure: bool = False) -> str:
    """The URL under which the socket is reached; `secure` says that TLS is spoken there."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stop: asyncio.Event,
    lane: FastLane | None = None,
    connections: Connections | None = None,
    tls: Tls | None = None,
) -> None:
    """Answer requests until `stop` is set, then those that are under way or on their way, within seconds.

    With `lane` cached orders are answered by it, and everything else by `app`. `connections` has the limits.
    With `tls` nothing else is spoken.
    """
    shared = connections or Connections()
    protocol = partial(BoundedProtocol, shared) if lane is None else partial(FastLaneProtocol, lane, shared)
    server = Server(
        uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", protocol),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            headers=tls.headers if tls else [],
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        ),
        lane,
        tls,
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    watching = asyncio.create_task(
        shared.watch(cast("set[BoundedProtocol]", server.server_state.connections))
    )
    renewing = asyncio.create_task(tls.watch()) if tls else None
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    shared.draining = True
    server.should_exit = True
    stopping.cancel()
    await serving
    watching.cancel()
    if renewing is not None:
        renewing.cancel()
