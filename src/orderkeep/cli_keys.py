"""`orderkeep keys`: make, list and revoke the keys of the API."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import App, Parameter

from orderkeep.errors import ConfigurationError
from orderkeep.invocation import settings_in_force

if TYPE_CHECKING:
    from orderkeep.keys import Key, Scope

keys = App(
    name="keys",
    help="Work with the keys of the API, in the file of ORDERKEEP_KEYS_FILE.",
    help_format="markdown",
)

Json = Annotated[bool, Parameter(name="--json", negative="")]

_LIFETIME = re.compile(r"(\d{1,5})([hd])", re.ASCII)


@keys.command(name="new")
def new(*, name: str, scope: str = "read", expires: str | None = None, as_json: Json = False) -> None:
    """Make a key, and print it: the only time that it is shown. Services take it within a second.

    Example: `orderkeep keys new --name ops --scope read,admin --expires 90d`

    Parameters
    ----------
    name
        Who gets it, for the list and for the log.
    scope
        What it allows, comma-separated: read, write, admin, metrics.
    expires
        How long it works: 12h, 90d, or until a time such as 2027-01-31 (in UTC unless it says otherwise).
        Without it, until it is revoked.
    as_json
        Print one JSON object.
    """
    from orderkeep.keys import LONGEST_NAME, changing, make_key

    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"--name: 1 to {LONGEST_NAME} printable characters are expected")
    now = datetime.now(UTC)
    text, key = make_key(name, _scopes(scope), _end(expires, now), now)
    with changing(_file()) as kept:
        if key.id in {one.id for one in kept}:
            raise ConfigurationError("that id is taken, which happens once in millions: try again")
        kept.append(key)
    if as_json:
        print(json.dumps({**_shown(key, now), "key": text}))
        return
    print(text)
    sys.stderr.write(
        f"key {key.id} for {name}: {', '.join(key.scopes)}; {_until(key)}. It is not shown again.\n"
    )


@keys.command(name="list")
def show_list(*, as_json: Json = False) -> None:
    """List the keys, those that were revoked or have expired among them.

    Parameters
    ----------
    as_json
        Print one JSON array.
    """
    from orderkeep.keys import read_keys

    now = datetime.now(UTC)
    found = [_shown(key, now) for key in read_keys(_file())]
    print(json.dumps(found) if as_json else _table(found))


@keys.command(name="revoke")
def revoke(key_id: str, /, *, as_json: Json = False) -> None:
    """Revoke a key: every service stops taking it within a second, and cuts its streams of events.

    Example: `orderkeep keys revoke 3f9a12cd`

    Parameters
    ----------
    key_id
        The id of the key, as `orderkeep keys list` and the log have it.
    as_json
        Print the key as one JSON object.
    """
    from msgspec.structs import replace

    from orderkeep.keys import changing

    now = datetime.now(UTC)
    with changing(_file()) as kept:
        places = [place for place, key in enumerate(kept) if key.id == key_id]
        if not places:
            raise ConfigurationError(f"there is no key {key_id!r}: see `orderkeep keys list`")
        key = kept[places[0]]
        key = kept[places[0]] = replace(key, revoked_at=key.revoked_at or now)
    shown = _shown(key, now)
    print(json.dumps(shown) if as_json else f"key {key.id} for {key.name} is revoked")


def _file() -> Path:
    file = settings_in_force().keys_file
    if not file:
        raise ConfigurationError(
            "ORDERKEEP_KEYS_FILE says where the keys are: set it, here and for the service"
        )
    return Path(file)


def _scopes(text: str) -> "list[Scope]":
    from orderkeep.keys import Scope

    given = [part.strip() for part in text.split(",") if part.strip()]
    known: tuple[Scope, ...] = get_args(Scope)
    if not given or not set(given) <= set(known):
        raise ConfigurationError(f"--scope: some of {', '.join(known)} are expected, comma-separated")
    return [scope for scope in known if scope in given]


def _end(text: str | None, now: datetime) -> datetime | None:
    """When a key expires. Raises `ConfigurationError` when that is no time, or is over."""
    if text is None:
        return None
    try:
        if lifetime := _LIFETIME.fullmatch(text):
            count = int(lifetime[1])
            end = now + (timedelta(hours=count) if lifetime[2] == "h" else timedelta(days=count))
        else:
            given = datetime.fromisoformat(text)
            end = given.replace(tzinfo=given.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"--expires: {text!r} is no time: give 12h, 90d or 2027-01-31") from None
    if end <= now:
        raise ConfigurationError(f"--expires: {text} is over")
    return end


def _shown(key: "Key", now: datetime) -> dict[str, Any]:
    """A key without its hash."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "state": key.state(now),
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "expires_at": key.expires_at and key.expires_at.isoformat(timespec="seconds"),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(timespec="seconds"),
    }


def _until(key: "Key") -> str:
    return f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "until it is revoked"


def _table(found: list[dict[str, Any]]) -> str:
    heads = ("id", "name", "scopes", "state", "created", "expires")
    lines = [heads] + [
        (
            one["id"],
            one["name"],
            ",".join(one["scopes"]),
            one["state"],
            one["created_at"],
            one["expires_at"] or "never",
        )
        for one in found
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
