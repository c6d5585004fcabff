"""The data folder of a server: one owner at a time, and always where its user can reach it."""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orderkeep.errors import Fatal

from .process import Account, end_leftovers

LOCK = "orderkeep.lock"
"""The file that makes a folder ours: its lock is held while a server runs, and it names the owner."""


class Claim:
    """The exclusive use of a data folder, until `release` or the death of this process."""

    def __init__(self, data: Path) -> None:
        """Make the folder if need be and lock it. `Fatal`: in use, not ours, cannot be written."""
        with explained(data):
            data.mkdir(parents=True, exist_ok=True)
            if not is_ours(data) and any(data.iterdir()):
                raise Fatal(f"{data} has files that are not Orderkeep's. Choose another folder.")
            self._file = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(self._file, 20).decode().strip()
                os.close(self._file)
                raise Fatal(
                    f"{data} is already in use by {f'process {owner}' if owner else 'another process'}. "
                    "Stop it, or choose another folder."
                ) from None
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._file)


def is_ours(data: Path) -> bool:
    return (data / LOCK).exists()


def remove(data: Path) -> None:
    """Delete a data folder, wherever its files are. Nothing happens when there is none.

    `Fatal` when a server uses it, or when it is not Orderkeep's. What a killed owner left running is killed.
    """
    if not data.exists():
        return
    claim = Claim(data)
    try:
        with explained(data):
            places = [data.resolve(), *_linked_places(data)]
            for place in places:
                end_leftovers(place, signal.SIGKILL)
            for place in reversed(places):
                shutil.rmtree(place)
    finally:
        claim.release()


def reachable_folder(data: Path, name: str, account: Account | None) -> Path:
    """`data/name`, private to `account`: a folder or, where it may not go, a link to one that it can reach.

    The folder elsewhere is named after the path of `data`, and belongs to that path alone.
    """
    folder = data / name
    if folder.is_dir():
        return folder.resolve()
    folder.unlink(missing_ok=True)  # a link whose target was tidied away
    if account is None or may(account, "-x", data):
        _make_private(folder, account)
        return folder.resolve()
    elsewhere = shared_folder() / f"{_prefix()}{hashlib.sha256(bytes(data.resolve())).hexdigest()[:12]}"
    if elsewhere.is_symlink() or (elsewhere.exists() and elsewhere.stat().st_uid != account.uid):
        raise Fatal(f"{elsewhere} is not Orderkeep's. Remove it, or choose another folder than {data}.")
    if elsewhere.exists():  # of a `data` that was deleted by hand
        end_leftovers(elsewhere, signal.SIGKILL)
        shutil.rmtree(elsewhere)
    _make_private(elsewhere, account)
    folder.symlink_to(elsewhere)
    return elsewhere


def may(account: Account, test: str, path: Path) -> bool:
    """Whether the user passes `test` (-r or -x of test(1)) on `path`. Only root can ask."""
    question = ["test", test, str(path)]
    answer = subprocess.run(
        question, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False
    )
    return answer.returncode == 0


def shared_folder() -> Path:
    """A folder that every user can enter and that outlives a reboot, where there is one."""
    lasting = Path("/var/tmp")  # noqa: S108  # nosec B108 # no link is followed in it, owners are checked
    return lasting if os.access(lasting, os.W_OK) else Path(tempfile.gettempdir())


def cache_folder(name: str) -> Path:
    """Where programs are kept from one start to the next, below the user's own cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orderkeep" / name
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(f"{cache}: {error.strerror}. Set XDG_CACHE_HOME to a folder for programs.") from error
    return cache


@contextmanager
def explained(data: Path) -> Iterator[None]:
    """Turn what the operating system refuses (no space, no permission) into `Fatal` with the path."""
    try:
        yield
    except OSError as error:
        path = error.filename or data
        raise Fatal(f"{path}: {error.strerror}. Make room, give access or choose another folder.") from error


def _make_private(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700)  # fails on whatever is there, a link too
    if account:
        os.chown(folder, account.uid, account.gid)


def _linked_places(data: Path) -> list[Path]:
    targets = [entry.resolve() for entry in data.iterdir() if entry.is_symlink()]
    return [target for target in targets if target.name.startswith(_prefix()) and target.is_dir()]


def _prefix() -> str:
    return f"orderkeep-{os.geteuid()}-"
