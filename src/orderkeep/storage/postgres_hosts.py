"""Finding the right one of several PostgreSQL servers: all hosts of a URL are asked at once.

One at a time, as libpq and asyncpg do it, a host that answers nothing costs its whole timeout before the
next is asked. Nor do they know an old primary, back after a failover and as writable as ever, from the new
one: a promotion begins a new timeline, and of two writable servers the one of the later timeline is meant.
"""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from orderkeep.errors import ConfigurationError, DatabaseUnavailable, Fatal
from orderkeep.storage.postgres_errors import translated

if TYPE_CHECKING:
    from asyncpg import Connection

Role = Literal["primary", "primary first", "any", "standby", "standby first"]
"""Which of the hosts is wanted; `any` is the first of the URL that answers."""

HOST_SECONDS = 5.0
"""For a connection to one host, TLS and authentication included."""
OTHERS_SECONDS = 0.5
"""When a host that would do has answered: how long the others may still answer and be preferred."""

_ATTRIBUTES: dict[str, Role] = {
    "any": "any",
    "primary": "primary",
    "read-write": "primary",
    "standby": "standby",
    "read-only": "standby",
    "prefer-standby": "standby first",
}
_NOT_FOR_SERVERS = (
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "fallback_application_name",
)
"""libpq's parameters that are done here in another way; asyncpg would send them as settings of the server."""
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

_BRANCH = """
select array[system_identifier::text,
             case when not pg_is_in_recovery() and current_setting('default_transaction_read_only') = 'off'
                  then left(pg_walfile_name(pg_current_wal_lsn()), 8) end]
from pg_control_system()
"""


class Branch(NamedTuple):
    """One history of a cluster: a promotion ends it for the server, and begins another."""

    system: str
    timeline: str

    def replaces(self, other: "Branch") -> bool:
        """Whether a writable server of this branch is to be used instead of one of the other."""
        return self.system != other.system or self.timeline > other.timeline


class Reached(NamedTuple):
    """A connection; `branch` is that of a server that takes writes, else None."""

    connection: "Connection[Any]"
    branch: Branch | None


async def reach(url: str, role: Role, **options: Any) -> Reached:
    """Connect to the host of `url` that has the role; `options` are those of asyncpg.connect.

    `any` gives way to `target_session_attrs` of the URL. Takes up to `HOST_SECONDS`. Raises `Fatal` when
    every host refuses us for good, else `Transient`.
    """
    hosts, attribute = each_host(url)
    _refuse_missing_files(url)
    wanted = _ATTRIBUTES.get(attribute, "any") if role == "any" else role
    asking = [asyncio.create_task(_open(host, options)) for host in hosts]
    chosen: Reached | None = None
    try:
        pending = set(asking)
        while pending:
            patience = OTHERS_SECONDS if _best(asking, wanted) else None
            answered, pending = await asyncio.wait(
                pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            if not answered:
                break
        chosen = _best(asking, wanted)
    finally:
        for task in asking:
            task.cancel()
            task.add_done_callback(lambda done: _let_go(done, chosen))
    if chosen is None:
        raise _why_none(asking, wanted)
    return chosen


def each_host(url: str) -> tuple[list[str], str]:
    """A URL for each host that `url` names, in its order, and its `target_session_attrs`.

    Raises `ConfigurationError`, without the text of the URL: it may hold a password.
    """
    try:
        hosts, attribute = _each_host(url)
        for host in hosts:
            _ = urlsplit(host).port  # raises unless it is a number
    except ValueError:
        raise ConfigurationError(
            "the database URL is not of the form postgresql://user:password@host:port/database"
        ) from None
    return hosts, attribute


def _refuse_missing_files(url: str) -> None:
    """asyncpg's error for one is that of a server that is away."""
    given = dict(parse_qsl(urlsplit(url).query))
    for name in _FILES:
        if name in given and not Path(given[name]).is_file():
            raise ConfigurationError(f"the database URL has {name}={given[name]}, and there is no such file")


def _each_host(url: str) -> tuple[list[str], str]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    attribute = query.get("target_session_attrs", "any")
    login, at, places = parts.netloc.rpartition("@")
    if not places and "," in query.get("host", ""):
        places = _places(query.pop("host"), query.pop("port", ""))
    for name in _NOT_FOR_SERVERS:
        query.pop(name, None)
    rest = parts.path + (f"?{urlencode(query)}" if query else "")
    return [f"{parts.scheme}://{login}{at}{place}{rest}" for place in places.split(",")], attribute


def _places(hosts: str, ports: str) -> str:
    """The parameters `host=a,b` and `port=1,2` as `a:1,b:2`; one port is for all hosts."""
    names, numbers = [quote(name, safe="[]:") for name in hosts.split(",")], ports.split(",")
    if len(numbers) == 1:
        numbers *= len(names)
    return ",".join(
        f"{name}:{number}" if number else name for name, number in zip(names, numbers, strict=False)
    )


async def _open(url: str, options: dict[str, Any]) -> Reached:
    with translated():
        try:
            connection: Connection[Any] = await asyncpg.connect(
                url, timeout=HOST_SECONDS, target_session_attrs=SessionAttribute.any, **options
            )
        except ValueError as error:
            if isinstance(error, asyncpg.InterfaceError | ssl.SSLError):
                raise
            # uvloop's answer for a socket that is lost before asyncpg has set it up
            raise DatabaseUnavailable(f"the connection was lost while it was made: {error}") from error
        try:
            system, timeline = await connection.fetchval(_BRANCH, timeout=HOST_SECONDS)
        except BaseException:
            connection.terminate()
            raise
        return Reached(connection, Branch(system, timeline) if timeline else None)


def _best(asking: Sequence["asyncio.Task[Reached]"], wanted: Role) -> Reached | None:
    answered = [task.result() for task in asking if _has_answered(task)]
    primaries = sorted((one for one in answered if one.branch), key=_timeline, reverse=True)
    standbys = [one for one in answered if one.branch is None]
    candidates = {
        "primary": primaries,
        "primary first": primaries + standbys,
        "any": answered,
        "standby": standbys,
        "standby first": standbys + primaries,
    }[wanted]
    return candidates[0] if candidates else None


def _has_answered(task: "asyncio.Task[Reached]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _timeline(reached: Reached) -> str:
    return reached.branch.timeline if reached.branch else ""


def _let_go(done: "asyncio.Task[Reached]", chosen: Reached | None) -> None:
    if _has_answered(done) and done.result() is not chosen:
        done.result().connection.terminate()


def _why_none(asking: Sequence["asyncio.Task[Reached]"], wanted: Role) -> BaseException:
    """Fatal only when every host refuses us for good; another may be back with the answer in a minute."""
    errors = [error for task in asking if (error := task.exception()) is not None]
    if len(errors) == len(asking) and (len(errors) == 1 or all(isinstance(one, Fatal) for one in errors)):
        return errors[0]
    reasons = list(dict.fromkeys(map(str, errors)))
    if len(errors) < len(asking):
        found, lacking = ("standby", "primary") if wanted.startswith("primary") else ("primary", "standby")
        reasons.append(f"what answers is a {found} or read-only, and no {lacking}")
    return DatabaseUnavailable("; ".join(reasons))
