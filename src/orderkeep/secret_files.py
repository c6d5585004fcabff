"""Settings that are read from files, as Docker and Kubernetes mount secrets.

`ORDERKEEP_DATABASE_URL_FILE` names a file that holds what `ORDERKEEP_DATABASE_URL` would.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from orderkeep.errors import ConfigurationError

SUFFIX = "_FILE"


def secrets_in_files(
    variables: Iterable[str], levels: Iterable[Mapping[str, str | None]]
) -> dict[str, tuple[str, str]]:
    """Of these variables those whose strongest value is in a file: the file, and what it holds.

    `levels` are where variables are given, the weakest first, in whatever case; an empty one is not given.
    Raises `ConfigurationError`, never with what a file holds.
    """
    files: dict[str, str] = {}
    for level in levels:
        given = {name.upper(): value for name, value in level.items()}
        for variable in variables:
            value, file = given.get(variable), given.get(variable + SUFFIX)
            if value and file:
                raise ConfigurationError(
                    f"both {variable} and {variable}{SUFFIX} are given: leave one of them out"
                )
            if file:
                files[variable] = file
            elif value:
                files.pop(variable, None)
    return {variable: (file, _read(variable + SUFFIX, file)) for variable, file in files.items()}


def _read(name: str, file: str) -> str:
    """What the file holds, without the end of its last line."""
    try:
        secret = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{name}: {file} cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}: {file} is no text in UTF-8") from None
    if not secret:
        raise ConfigurationError(f"{name}: {file} is empty")
    return secret
