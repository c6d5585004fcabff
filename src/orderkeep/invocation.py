"""What every command shares: how it gets its settings, runs, and ends.

The settings' module takes longer to import than all else that `--help` needs, so whoever needs it imports it.
"""

import io
import sys
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from orderkeep.errors import ConfigurationError

if TYPE_CHECKING:
    from orderkeep.settings import Settings

EXIT_FOUND = 1  # the command did its work, and what it found is bad
EXIT_FATAL = 2  # the set-up is wrong; the line printed says what to do
EXIT_UNAVAILABLE = 3  # a server does not answer; the line printed says which
EXIT_INTERRUPTED = 130

_flags: dict[str, Any] = {}


def write_whole() -> None:
    """Buffer standard output where it is not, by PYTHONUNBUFFERED: of a write that a pipe takes in part,
    Python loses the rest then.
    """
    if isinstance(sys.stdout.buffer, io.RawIOBase):
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        buffered = io.BufferedWriter(sys.stdout.buffer)
        sys.stdout = io.TextIOWrapper(buffered, encoding, errors, line_buffering=True)


def take_settings(arguments: Sequence[str]) -> list[str]:
    """Put the flags that are settings aside, and return the rest of the command line."""
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if word.startswith("--") and _is_setting(name):
            if not equals and not waiting:
                raise ConfigurationError(f"{word} needs a value")
            _flags[name] = value if equals else waiting.pop(0)
        else:
            rest.append(word)
    return rest


def settings_in_force(*, service: bool = False) -> "Settings":
    """The settings of this run. A service logs as they say; what a person waits for, only trouble."""
    import structlog

    from orderkeep.observe.logs import configure
    from orderkeep.settings import variable
    from orderkeep.settings_load import load, old_names_in_use
    from orderkeep.settings_names import RENAMED

    log = structlog.get_logger()
    settings = load(_flags)
    if service:
        configure(settings.log_format, settings.log_level)
    else:
        configure("console", "warning")
    for old in old_names_in_use(_flags):
        log.warning("setting_renamed", old=variable(old), new=variable(RENAMED[old]))
    return settings


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it to its end in a new event loop."""
    import uvloop

    return uvloop.run(coroutine)


def end(message: str, code: int) -> None:
    """Exit with one line on standard error."""
    sys.stderr.write(f"orderkeep: {message}\n")
    sys.exit(code)


def _is_setting(name: str) -> bool:
    if name in ("help", "version"):
        return False
    from orderkeep.settings import Settings
    from orderkeep.settings_names import RENAMED

    return name in Settings.model_fields or name in RENAMED
