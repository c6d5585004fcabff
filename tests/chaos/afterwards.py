"""What has to be undone on this machine even when the process that did it is killed."""

import subprocess
from types import TracebackType
from typing import Self


class Afterwards:
    """Runs a shell command when it is left, or when this process ends, however that ends.

    A child waits for the end of a pipe that only this process holds; it is in a session of its own, so a
    signal to our process group does not reach it.
    """

    def __init__(self, command: str) -> None:
        self._child = subprocess.Popen(
            ["sh", "-c", f"cat; {command}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def now(self) -> None:
        """Let the command run, and wait for it. Nothing happens the second time."""
        if self._child.poll() is None:
            self._child.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.now()
