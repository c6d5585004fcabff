"""The keys that are in force in a process: read again when the file changes, and told to who relies on one.

While the file cannot be read nobody passes: who was revoked is not known then, and to take the file away is
the quickest way to lock everybody out. A file in the middle of being written is given a second look.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import structlog

from orderkeep.errors import ConfigurationError
from orderkeep.keys import Key, id_of, read_keys

LOOK_SECONDS = 0.25
"""Between two looks at the file: two of them, and what they bring about, take less than a second."""

KeysStatus = Literal["ok", "unreadable"]

log = structlog.get_logger()


class Grant:
    """A key in force."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.over = asyncio.Event()
        """Set when it was revoked, has expired, or is another than it was."""


class Keyring:
    """The keys of a file. Nothing is in force before the first `look`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, ...] | None = None
        self._keys: list[Key] = []
        self._grants: dict[str, Grant] = {}
        self._is_doubtful = True  # it could not be read when it was last looked at
        self.status: KeysStatus = "ok"

    def grant(self, authorization: Sequence[bytes]) -> Grant | None:
        """What the Authorization headers of a request stand for: one of them, with a key in force."""
        if len(authorization) != 1:
            return None
        scheme, _, text = authorization[0].partition(b" ")
        text = text.strip()
        found = self._grants.get(id_of(text)) if scheme.lower() == b"bearer" else None
        return found if found is not None and found.key.fits(text) else None

    def look(self, now: datetime | None = None) -> bool:
        """Read the file if it has changed, and put in force what it says at this time.

        True when other keys are in force than before.
        """
        mark = _mark(self._path)
        if mark != self._mark or self._is_doubtful:
            self._mark = mark  # of before it is read: a change meanwhile is seen by the next look
            self._read()
        return self._enforce(now or datetime.now(UTC))

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Look again and again, until cancelled; `on_change` is called whenever other keys are in force."""
        while True:
            if self.look():
                on_change()
            await asyncio.sleep(LOOK_SECONDS)

    def _read(self) -> None:
        try:
            self._keys, self.status = read_keys(self._path), "ok"
        except ConfigurationError as error:
            if self._is_doubtful and self.status == "ok":
                self._keys, self.status = [], "unreadable"
                log.error("keys_unreadable", error=str(error))  # noqa: TRY400 - the line says it all
            self._is_doubtful = True
        else:
            self._is_doubtful = False

    def _enforce(self, now: datetime) -> bool:
        active = {key.id: key for key in self._keys if key.state(now) == "active"}
        before = self._grants
        if active == {name: grant.key for name, grant in before.items()}:
            return False
        self._grants = {
            name: before[name] if name in before and before[name].key == key else Grant(key)
            for name, key in active.items()
        }
        for name, grant in before.items():
            if self._grants.get(name) is not grant:
                grant.over.set()
        log.info("keys_changed", active=len(active))
        return True


def _mark(path: Path) -> tuple[int, ...] | None:
    """What is another after every change of the file; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
