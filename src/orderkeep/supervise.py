"""Keeping a few processes of this program up, and stopping as a whole when that cannot be done."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import structlog

from orderkeep.errors import Fatal

LAUNCHER = Path(__file__).with_name("launch.py")
EXIT_FATAL = 2
"""The exit code of a process that only a person can help: it is not started again."""
EXIT_UNAVAILABLE = 3
"""That of one whose server did not answer at its start: once it has run, it is started again for ever."""
MOST_STARTS = 5
WITHIN_SECONDS = 60.0
RESTART_SECONDS = 0.5
STOP_SECONDS = 30.0
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""The environment of a child, unless ours says otherwise: malloc asks the kernel for huge pages.

Orders are read from all over the memory; with fewer pages they are found faster (docs/performance.md).
"""

log = structlog.get_logger()


class Service:
    """One command of this program as a child process; it dies with us, however we die (on Linux)."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        settings: Mapping[str, str],
        fd: int | None = None,
        output: Path | None = None,
    ) -> None:
        """`settings` are environment variables beside our own, `fd` is handed down to the child, `output`
        takes what it prints, which else goes where ours does.
        """
        self.name = name
        self._arguments = list(arguments)
        self._settings = dict(settings)
        self._fd = fd
        self._output = output
        self._process: Process | None = None
        self._starts: deque[float] = deque(maxlen=MOST_STARTS)
        self._has_run = False
        self._expected_end = False

    async def keep_up(self) -> None:
        """Start it, and again whenever it ends, until cancelled; then stop it. Raises `Fatal`."""
        try:
            while True:
                await self._start()
                code = await self._wait()
                if not self._expected_end:
                    self._judge(code)
                    await asyncio.sleep(RESTART_SECONDS)
        finally:
            await self.stop()

    async def restart(self) -> None:
        """Stop it in order; `keep_up` starts it again at once."""
        self._expected_end = True
        await self.stop()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _start(self) -> None:
        self._expected_end = False
        self._starts.append(time.monotonic())
        program = [sys.executable, "-m", "orderkeep", *self._arguments]
        launch = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(signal.SIGTERM)), "-"]
        output = self._open()
        try:
            # Its own session: Ctrl-C in the terminal reaches us alone, and we stop it in order.
            self._process = await asyncio.create_subprocess_exec(
                *launch,
                *program,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**MALLOC, **os.environ, **self._settings},
                pass_fds=() if self._fd is None else (self._fd,),
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()

    def _open(self) -> IO[bytes] | None:
        return self._output.open("ab") if self._output else None

    async def _wait(self) -> int:
        assert self._process is not None  # noqa: S101  # nosec B101 # for the type: it was just started
        return await self._process.wait()

    def _judge(self, code: int) -> None:
        """Raises `Fatal` when starting it again would not help."""
        where = f"see {self._output}" if self._output else "its last line says why"
        lasted = time.monotonic() - self._starts[-1]
        self._has_run = self._has_run or lasted > WITHIN_SECONDS
        if code == EXIT_FATAL or (code == EXIT_UNAVAILABLE and not self._has_run):
            raise Fatal(f"{self.name} cannot run: {where}")
        log.warning("child_ended", role=self.name, code=code)
        often = len(self._starts) == MOST_STARTS and time.monotonic() - self._starts[0] < WITHIN_SECONDS
        if often and code != EXIT_UNAVAILABLE:
            raise Fatal(f"{self.name} ended {MOST_STARTS} times within a minute, last with {code}: {where}")


async def keep_all_up(services: Sequence[Service], stop: asyncio.Event) -> None:
    """Keep the services up until `stop` is set, then stop them all, the last first. Raises `Fatal`."""
    keeping = [asyncio.create_task(service.keep_up()) for service in services]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((*keeping, stopping), return_when=asyncio.FIRST_COMPLETED)
    failed = [task.exception() for task in keeping if task.done()]
    for task in (*reversed(keeping), stopping):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    for error in failed:
        if error is not None:
            raise error
