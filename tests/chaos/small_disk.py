"""A file system of its own for a server, which can be filled up. Needs root (Linux)."""

import functools
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from tests.chaos.afterwards import Afterwards

_MEGABYTE = 1_048_576


class SmallDisk:
    """A file system in memory at `folder`, mounted from `mount` until `unmount` or the end of this process.

    It is filled by making it as small as what is in it, so that no memory is spent on it.
    """

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self._bytes = folder, megabytes * _MEGABYTE
        self._unmounting: Afterwards | None = None

    def mount(self) -> None:
        """Raises subprocess.CalledProcessError when the system refuses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Lazily, so that servers that still end do not keep it; the memory is free when they have.
        self._unmounting = Afterwards(f"umount --lazy {shlex.quote(str(self.folder))}")
        try:
            _run("mount", "-t", "tmpfs", "-o", f"size={self._bytes},mode=755", "tmpfs", str(self.folder))
        except BaseException:
            self.unmount()
            raise

    def unmount(self) -> None:
        """What is on it is gone."""
        if self._unmounting:
            self._unmounting.now()
            self._unmounting = None

    def fill(self, leave: int = 0) -> None:
        """Leave room for so many bytes."""
        while True:
            try:
                self._resize(self.used() + leave)
            except subprocess.CalledProcessError:  # it has grown meanwhile: no smaller than what is there
                leave += _MEGABYTE // 16
            else:
                return

    def free(self) -> None:
        """Give it back its size."""
        self._resize(self._bytes)

    def used(self) -> int:
        """Bytes."""
        system = os.statvfs(self.folder)
        return (system.f_blocks - system.f_bfree) * system.f_frsize

    def has_room(self) -> bool:
        """Whether it has its size."""
        system = os.statvfs(self.folder)
        return system.f_blocks * system.f_frsize >= self._bytes

    def _resize(self, size: int) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self.folder))


@functools.cache
def missing() -> str | None:
    """Why a small disk cannot be had here, or None."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    with tempfile.TemporaryDirectory() as folder:
        disk = SmallDisk(Path(folder) / "disk", 1)
        try:
            disk.mount()
        except (OSError, subprocess.CalledProcessError) as error:
            return f"a small disk cannot be mounted: {getattr(error, 'stderr', error)}"
        disk.unmount()
    return None


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
