"""Messages that a person gives: a file sent as it is, or one message a line."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from orderkeep.errors import ConfigurationError
from orderkeep.publish.message import GeneratedMessage


class _Identity(msgspec.Struct):
    order_uid: str


_identity = msgspec.json.Decoder(_Identity)


def file_messages(path: Path) -> Iterator[GeneratedMessage]:
    """One message: the file's bytes as they are. Raises `ConfigurationError` at once if it cannot be read."""
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    return iter((given(payload),))


def line_messages(lines: Iterable[bytes]) -> Iterator[GeneratedMessage]:
    """A message for every line, without its end; blank lines are skipped. Blocks as `lines` does."""
    for line in lines:
        payload = line.removesuffix(b"\n").removesuffix(b"\r")
        if payload.strip():
            yield given(payload)


def given(payload: bytes) -> GeneratedMessage:
    """`payload` as a message, its key the uid if there is one, whatever else may be wrong with it."""
    try:
        uid = _identity.decode(payload).order_uid
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return GeneratedMessage(key=None, payload=payload, kind="given", uid=None, expected=None)
    return GeneratedMessage(key=uid.encode(), payload=payload, kind="given", uid=uid, expected=None)
