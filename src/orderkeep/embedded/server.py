"""What every server here has in common: one claimed folder, one child process, one life cycle."""

import atexit
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from orderkeep.errors import Fatal, ServerUnavailable

from . import ports
from .place import Claim, explained
from .process import Child

START_PATIENCE = 60.0
"""Seconds for a server to answer, recovery after a crash included."""


def silent(_: str) -> None:
    """Say nothing: the default for progress."""


class Server(ABC):
    """A server that keeps all it has in `data` and listens on the loopback address while started.

    It can be started again after `stop` and after `kill`. When this process dies, it shuts down by itself
    (Linux; elsewhere only when this process ends in order). Paused at that moment, it cannot: the next start
    on the folder ends it.
    """

    name: ClassVar[str]
    telling: ClassVar[Sequence[str]]
    """What marks the lines of the log that say why a start failed."""
    host = ports.HOST

    def __init__(self, data: Path, log: str, port: int | None, say: Callable[[str], None]) -> None:
        self.data = Path(data).absolute()
        self.log = self.data / log
        self.port = port or 0
        self.env: dict[str, str] = {}
        """Added to the server's environment when it is started next."""
        self._say = say
        self._claim: Claim | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running server's first process."""
        return self._child.pid if self._child and self._child.alive() else None

    def start(self) -> None:
        """Start the server, making its files on first use; returns when it answers clients.

        Raises `Fatal` when the folder is in use or the port taken, or when the server does not come up, with
        the last telling line of its log; `ServerUnavailable` when its programs cannot be had.
        """
        if self.pid:
            return
        self._let_go()
        self._claim = Claim(self.data)
        try:
            with explained(self.data):
                self._child = self._launch()
                atexit.register(self.stop)
                self._wait_until_ready(self._child)
        except BaseException:
            self.kill()
            raise

    @abstractmethod
    def _launch(self) -> Child:
        """Prepare the claimed folder, choose the port, start the process."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it answers clients."""

    @abstractmethod
    def stop(self) -> None:
        """Shut down in order and wait. Nothing happens when it does not run."""

    def kill(self) -> None:
        """SIGKILL to every process of the server: a crash. The data folder is free again afterwards."""
        if self._child:
            self._child.kill()
        self._let_go()

    def pause(self) -> None:
        """SIGSTOP to every process of the server: connections stay open and nothing is answered."""
        self._running().pause()

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._running().resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not self._is_ready():
            if not child.alive():
                self._fail("did not start", child)
            if time.monotonic() > deadline:
                self._fail(f"did not answer within {START_PATIENCE:.0f} seconds", child)
            time.sleep(0.02)

    def _fail(self, what: str, child: Child) -> None:
        raise Fatal(f"{self.name} {what}: {child.last_words(self.telling)} (its log: {self.log})")

    def _running(self) -> Child:
        if not self._child:
            raise ServerUnavailable(f"{self.name} is not running. Start it first.")
        return self._child

    def _let_go(self) -> None:
        atexit.unregister(self.stop)
        self._child = None
        if self._claim:
            self._claim.release()
            self._claim = None
