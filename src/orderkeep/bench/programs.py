"""Commands of this program, and other programs, as child processes that are timed, watched and stopped."""

import http.client
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]  # the package has no types of its own

from orderkeep.embedded.process import Child
from orderkeep.errors import Fatal
from orderkeep.supervise import MALLOC

START_SECONDS = 60.0
STOP_SECONDS = 30.0
ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.01
_TELLING = ("orderkeep: ", "Error", "error", "emerg")


class Program:
    """A program that runs. `started` is the moment of its start, in seconds since 1970."""

    def __init__(self, name: str, child: Child, started: float) -> None:
        self.name = name
        self.started = started
        self.max_rss = 0
        self._child = child
        self._process = psutil.Process(child.pid)

    def event(self, name: str) -> dict[str, Any]:
        """The first line of its log with that event; waits for it. Raises `Fatal` when it ends without it."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            for line in self._child.log.read_text(errors="replace").splitlines():
                with suppress(ValueError):
                    said = json.loads(line)
                    if isinstance(said, dict) and said.get("event") == name:
                        return said
            self.check(deadline)
            time.sleep(POLL_SECONDS)

    def moment(self, name: str) -> float:
        """When it logged that event, in seconds since 1970."""
        return datetime.fromisoformat(self.event(name)["timestamp"]).timestamp()

    def check(self, deadline: float) -> None:
        """Raises `Fatal` when it has ended, or when the monotonic clock is past `deadline`."""
        if not self._child.alive():
            raise Fatal(f"{self.name} ended: {self._child.last_words(_TELLING)}")
        if time.monotonic() > deadline:
            raise Fatal(f"{self.name} did not come on: {self._child.last_words(_TELLING)}")

    def note_memory(self) -> None:
        """Look how much memory it has: `max_rss` is the most that was seen, in bytes."""
        with suppress(psutil.NoSuchProcess):
            self.max_rss = max(self.max_rss, self._process.memory_info().rss)

    def wait(self, seconds: float) -> str:
        """Wait for its end, and return what it printed. Raises `Fatal` when it takes longer."""
        deadline = time.monotonic() + seconds
        while self._child.alive():
            if time.monotonic() > deadline:
                raise Fatal(f"{self.name} did not end within {seconds:g} seconds")
            time.sleep(POLL_SECONDS)
        return self._child.log.read_text(errors="replace")

    def last_words(self) -> str:
        return self._child.last_words(_TELLING)


class Client:
    """One kept connection to an HTTP server at `url`."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_SECONDS)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body. Raises `Fatal` when there is no answer."""
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Fatal(f"{path} was not answered: {error or type(error).__name__}") from None

    def json(self, path: str) -> dict[str, Any]:
        """The answer, which has to be 200 and an object. Raises `Fatal`."""
        status, body = self.get(path)
        if status != 200:
            raise Fatal(f"{path} was answered with {status}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def close(self) -> None:
        self._connection.close()


@contextmanager
def running(
    name: str, command: Sequence[str | Path], folder: Path, fds: Sequence[int] = ()
) -> Iterator[Program]:
    """A program that runs in `folder` until the block ends; its output goes to a log named after it.

    It inherits the open files `fds`.
    """
    started = time.time()
    child = Child(
        [_path_of(command[0]), *command[1:]],
        log=folder / f"{name}.log",
        on_death=signal.SIGTERM,
        folder=folder,
        fds=fds,
    )
    try:
        yield Program(name, child, started)
    finally:
        child.stop((signal.SIGTERM, STOP_SECONDS))


@contextmanager
def running_command(
    name: str, arguments: Sequence[str], settings: Mapping[str, str], folder: Path, fds: Sequence[int] = ()
) -> Iterator[Program]:
    """`orderkeep …` with these settings, given without their prefix, and with none that the user has set."""
    command = [*environment(settings), sys.executable, "-m", "orderkeep", *arguments]
    with running(name, command, folder, fds) as program:
        yield program


def environment(settings: Mapping[str, str]) -> list[str]:
    """What to put before a command so that it runs as a child of `serve`, with these settings alone."""
    unset = [word for name in os.environ if name.upper().startswith("ORDERKEEP_") for word in ("-u", name)]
    ours = {**MALLOC, **{f"ORDERKEEP_{name}": value for name, value in settings.items()}}
    return ["env", *unset, *(f"{name}={value}" for name, value in ours.items())]


def _path_of(program: str | Path) -> str:
    found = shutil.which(program)
    if found is None:
        raise Fatal(f"there is no program {program!r} on the PATH: install it")
    return found
