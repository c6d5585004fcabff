"""A clock that processes can be given, and that can be set while they run. Needs libfaketime (Linux)."""

from pathlib import Path

LIBRARY = "libfaketimeMT.so.1"
_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")


class Clock:
    """The time of day of the processes that run with `env`; monotonic clocks are left alone.

    It is kept in `file`, which every user has to be able to read. A change is seen within two seconds.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def env(self) -> dict[str, str]:
        """What to add to the environment of a process; nothing where there is no libfaketime."""
        library = _library()
        if library is None:
            return {}
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # with 0 the file is read at every look at the clock
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: float) -> None:
        """Let the clock be wrong by so much; negative is back."""
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(f"{seconds:+.0f}\n")
        unfinished.replace(self._file)

    def set_right(self) -> None:
        self.set(0)
        _remove_leftovers()


def missing() -> str | None:
    """Why clocks cannot be set here, or None."""
    return None if _library() else "libfaketime is not installed (on Debian the package faketime)"


def _library() -> Path | None:
    found = [file for place in _PLACES for file in Path("/").glob(f"{place[1:]}/{LIBRARY}")]
    return found[0] if found else None


def _remove_leftovers() -> None:
    """libfaketime leaves a semaphore and shared memory for each process that was killed."""
    for file in Path("/dev/shm").glob("*faketime_s*_*"):  # noqa: S108 - where Linux has them (shm_overview(7))
        number = file.name.rpartition("_")[2]
        if not Path(f"/proc/{number}").exists():
            file.unlink(missing_ok=True)
