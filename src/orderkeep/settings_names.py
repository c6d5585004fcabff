"""The names that settings are given by: misspelt ones are refused, old ones go on working for a while."""

import difflib
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values

PREFIX = "ORDERKEEP_"

RENAMED: Final[dict[str, str]] = {}
"""From the old name of a setting to the one that it has now, both as fields: `http_host`. An entry stays for
one minor version at least, and is listed in CHANGELOG.md."""

# What Kubernetes injects for a service named "orderkeep", and what the project's own tests read.
_NOT_OURS = re.compile(
    rf"{PREFIX}(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?|TEST_\w+)"
)


def given_outside(env_file: str) -> list[dict[str, str | None]]:
    """What has our prefix in `.env`, and in the environment, which is stronger, by the names given."""
    path = Path(env_file)
    levels = (dotenv_values(path) if path.is_file() else {}, os.environ)
    return [
        {name: value for name, value in level.items() if name.upper().startswith(PREFIX)} for level in levels
    ]


def field(name: str) -> str:
    """The field of a setting, by the name of its variable."""
    return name.upper().removeprefix(PREFIX).lower()


def unknown(names: Iterable[str], fields: Collection[str]) -> list[str]:
    """What is wrong with each of the names: a misspelt one would leave the default in force, silently."""
    known = {PREFIX + each.upper() for each in fields}
    mistakes = []
    for name in sorted(names):
        if field(name) in fields or field(name) in RENAMED or _NOT_OURS.fullmatch(name):
            continue
        close = difflib.get_close_matches(name.upper(), known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see `orderkeep config`"
        mistakes.append(f"there is no setting {name}: {hint}")
    return mistakes


def old_names(names: Iterable[str]) -> list[str]:
    """Those of the fields that have another name now."""
    return sorted(RENAMED.keys() & set(names))


def by_new_names(flags: Mapping[str, Any], outside: Mapping[str, str | None]) -> dict[str, Any]:
    """The flags, and beside them what is given by an old name, all by the new names.

    Where both are given the new one counts: it may be on purpose, for programs of two versions.
    """
    given = {**{field(name): value for name, value in outside.items()}, **flags}
    renamed = {RENAMED[old]: given[old] for old in old_names(given) if RENAMED[old] not in given}
    return {**renamed, **{name: value for name, value in flags.items() if name not in RENAMED}}
