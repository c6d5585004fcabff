"""A server as a child process: started, watched, paused, stopped, and never left behind."""

import functools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]  # the package has no types of its own

LAUNCHER = Path(__file__).parent.with_name("launch.py")
SERVERS = frozenset(
    {"postgres", "initdb", "java", "nats-server", "nats-streaming-server", "valkey-server", "redis-server"}
)
"""The names of the processes that may be found in a data folder: all run in theirs."""
LOG_LIMIT = 10_000_000
"""Bytes after which a server's log is put aside at the next start."""


class Account(NamedTuple):
    """The operating system's user that a server runs as, when it is not our own."""

    name: str
    uid: int
    gid: int


class Child:
    """A running server and the processes that it starts.

    It gets its own process group, so that Ctrl-C in a terminal reaches us alone and we stop it in order.
    On Linux it also gets `on_death` when this process dies, be it by SIGKILL; elsewhere only an orderly exit
    of this process ends it.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        on_death: signal.Signals,
        folder: Path,
        account: Account | None = None,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
    ) -> None:
        """Start `command` in `folder`, its output appended to `log`. Does not wait until it serves.

        It inherits the open files `fds`. `env` is added to the server's environment alone: what a preloaded
        library makes must be `account`'s, and the launcher is not yet.
        """
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.old"))
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        owner = f"{account.uid}:{account.gid}" if account else "-"
        given = ["/usr/bin/env", *(f"{name}={value}" for name, value in env.items())] if env else []
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(on_death)), owner]
        launch: list[str | Path] = [*launcher, *given, *command]
        self._process = _in_starter_thread(lambda: _spawn(launch, log, folder, fds))
        self.pid = self._process.pid

    def alive(self) -> bool:
        """Whether the server's first process is there; a paused one is."""
        return self._process.poll() is None

    def pause(self) -> None:
        """SIGSTOP to the server, then to every process it started."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the server and to every process it started."""
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to the server and to every process it started; returns when they are gone."""
        self._signal_all(signal.SIGSTOP)  # so that it starts no more
        kill_all(self._family())
        self._process.wait()

    def stop(self, *requests: tuple[signal.Signals, float]) -> None:
        """Ask it to end, by each signal in turn for so many seconds, then kill it. Resumes it first."""
        self.resume()
        for request, patience in requests:
            if self.alive():
                self._process.send_signal(request)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                return
        self.kill()

    def last_words(self, telling: Sequence[str]) -> str:
        """`telling_line` of what it has logged since its start."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return telling_line(file.read().decode(errors="replace"), telling)

    def _signal_all(self, number: signal.Signals) -> None:
        if self.alive():
            self._process.send_signal(number)
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _family(self) -> list[psutil.Process]:
        if self.alive():  # else its id may be another's by now
            with suppress(psutil.NoSuchProcess):
                server = psutil.Process(self.pid)
                return [server, *server.children(recursive=True)]
        return []


def telling_line(output: str, telling: Sequence[str]) -> str:
    """The last line of `output` that has one of the words `telling`, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if any(word in line for word in telling)]
    return (told or lines or ["(it said nothing)"])[-1]


def kill_all(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL every process and wait, for up to 10 seconds, until all are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _still_there(processes, patience=10)


def end_leftovers(folder: Path, request: signal.Signals, patience: float = 15) -> None:
    """End what an earlier owner of `folder` left running in it.

    A server whose parent was killed may still be shutting down, or be paused and not know. Blocks for up to
    `patience` seconds, then kills.
    """
    place = folder.resolve()  # as the system tells where a process runs
    left = [process for process in psutil.process_iter() if _is_server_in(place, process)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.resume()
            process.send_signal(request)
    kill_all(_still_there(left, patience))


def _still_there(processes: Sequence[psutil.Process], patience: float) -> list[psutil.Process]:
    """Those that still run after at most `patience` seconds.

    A zombie does not run: whose child it has become may take its time to collect it.
    """
    deadline = time.monotonic() + patience
    while left := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_server_in(folder: Path, process: psutil.Process) -> bool:
    try:
        return process.name() in SERVERS and Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False


def _spawn(
    command: Sequence[str | Path], log: Path, folder: Path, fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            process_group=0,
            pass_fds=fds,
        )


Start = Callable[[], "subprocess.Popen[bytes]"]


def _in_starter_thread(start: Start) -> "subprocess.Popen[bytes]":
    """Start a child from a thread that lives as long as this process.

    Linux sends the death signal when the *thread* that started the child ends, not the process.
    """
    done: Future[subprocess.Popen[bytes]] = Future()
    _starter().put((start, done))
    return done.result()


@functools.cache
def _starter() -> "queue.SimpleQueue[tuple[Start, Future[subprocess.Popen[bytes]]]]":
    requests: queue.SimpleQueue[tuple[Start, Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()

    def serve() -> None:
        while True:
            start, done = requests.get()  # nosec B113 # a queue, no client of HTTP
            try:
                done.set_result(start())
            except Exception as error:  # noqa: BLE001 - raised again where the child was asked for
                done.set_exception(error)

    threading.Thread(target=serve, name="server-starter", daemon=True).start()
    return requests


os.register_at_fork(after_in_child=_starter.cache_clear)  # the thread is not there in a forked process
