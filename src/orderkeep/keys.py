"""API keys and their file, which holds no key, only what recognises one.

A key is `orderkeep_<id>_<secret>`: a prefix that scanners for leaked secrets can look for, eight hex digits
by which people and logs name the key, and 256 random bits. Nobody guesses these, so a plain SHA-256
suffices: slow hashes and salts are for what people think up.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from orderkeep.errors import ConfigurationError

Scope = Literal["read", "write", "admin", "metrics"]
"""What a key allows; none of them includes another. `docs/keys.md` says which route needs which."""
KeyState = Literal["active", "expired", "revoked"]

PREFIX = "orderkeep_"
LONGEST_NAME = 64

_Time = Annotated[datetime, Meta(tz=True)]


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a key. One that was revoked stays, so that a log can still be read."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}\Z")]
    name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    created_at: _Time
    expires_at: _Time | None
    revoked_at: _Time | None = None

    def state(self, now: datetime) -> KeyState:
        """Whether it may be used."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def fits(self, text: bytes) -> bool:
        """Whether `text` is this key; takes as long whatever it is."""
        return hmac.compare_digest(hashlib.sha256(text).hexdigest(), self.sha256)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    keys: list[Key]


def make_key(
    name: str, scopes: Sequence[Scope], expires_at: datetime | None, now: datetime
) -> tuple[str, Key]:
    """A new key, and what is to be kept of it."""
    key_id = secrets.token_hex(4)
    text = f"{PREFIX}{key_id}_{secrets.token_hex(32)}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    kept = Key(
        id=key_id, name=name, scopes=tuple(scopes), sha256=digest, created_at=now, expires_at=expires_at
    )
    return text, kept


def id_of(text: bytes) -> str:
    """The id that a key names, which says nothing of its secret; empty when it is no key of ours."""
    return text.removeprefix(PREFIX.encode()).partition(b"_")[0].decode("latin-1")


def read_keys(path: Path) -> list[Key]:
    """The keys of the file. Raises `ConfigurationError` when it is not there, or is damaged."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File).keys
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no file of keys {path}: make a first key with `orderkeep keys new`"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"the file of keys {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise ConfigurationError(f"the file of keys {path} is damaged: {error}") from None
    if len({key.id for key in found}) < len(found):
        raise ConfigurationError(f"the file of keys {path} is damaged: two keys have the same id")
    return found


@contextmanager
def changing(path: Path) -> Iterator[list[Key]]:
    """The keys of the file, to be changed in place; written when that ends well.

    Waits while another process changes them. Raises `ConfigurationError`.
    """
    path = Path(os.path.realpath(path))  # what a link leads to is replaced, and not the link
    try:
        with _locked(path.parent):
            keys = read_keys(path) if path.exists() else []
            yield keys
            _replace(path, msgspec.json.format(msgspec.json.encode(_File(1, keys)), indent=1) + b"\n")
    except OSError as error:
        raise ConfigurationError(f"the file of keys {path} cannot be written: {error.strerror}") from None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the folder is locked, since the file itself is replaced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    """Readers see the old file or the new one, never a part; a crash leaves one of both."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if path.exists():
                _keep_rights(file.fileno(), path.stat())
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _keep_rights(descriptor: int, before: os.stat_result) -> None:
    """Whoever could read the file goes on reading it, such as the service when root makes a key."""
    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, (stat.S_IMODE(before.st_mode) & 0o640) | 0o600)
