"""Redis or Valkey, where the cache is asked to be there."""

from collections.abc import Mapping
from typing import Any

from orderkeep.errors import CacheUnavailable, ConfigurationError
from orderkeep.settings import Settings

from .check import Sight, Verdict, error, ok, warning

ANSWER_SECONDS = 5.0
Info = Mapping[str, Any]
"""The fields of INFO, as the client reads them."""


async def server(sight: Sight) -> Info:
    """Raises `CacheUnavailable` or `ConfigurationError`."""
    try:
        from valkey.asyncio import Valkey
        from valkey.asyncio.retry import Retry
        from valkey.backoff import NoBackoff
        from valkey.exceptions import ValkeyError
    except ModuleNotFoundError:
        raise ConfigurationError("the client of Redis is not here") from None
    try:
        client: Any = Valkey.from_url(
            sight.settings.redis_url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
        )
        client.connection_pool.make_connection()  # connects to nothing; reads the parameters
    except (ValueError, TypeError):
        # The client's own words may hold a part of the password.
        raise ConfigurationError("ORDERKEEP_REDIS_URL cannot be read") from None
    try:
        return dict(await client.info())
    except (ValkeyError, OSError) as problem:
        raise CacheUnavailable(f"Redis does not answer: {problem}") from problem
    finally:
        await client.aclose()


def reached(_settings: Settings, seen: Info) -> list[Verdict]:
    name = "Valkey" if "valkey_version" in seen else "Redis"
    version = seen.get("valkey_version") or seen.get("redis_version")
    found = []
    if seen.get("loading"):
        found.append(warning(f"{name} {version} is loading its data", "wait; PostgreSQL is read meanwhile"))
    if seen.get("role") != "master":
        found.append(
            error(
                f"{name} {version} is a replica, and takes no writes",
                "let ORDERKEEP_REDIS_URL name the master",
            )
        )
    return found or [ok(f"{name} {version} answers")]


def memory(_settings: Settings, seen: Info) -> list[Verdict]:
    most, policy, used = seen.get("maxmemory", 0), str(seen.get("maxmemory_policy", "")), seen["used_memory"]
    if not most:
        return [
            warning(
                f"Redis may take all memory there is: it has {used:,} bytes, and no maxmemory",
                "set maxmemory, and maxmemory-policy allkeys-lru",
            )
        ]
    if policy == "noeviction":
        return [
            warning(
                f"Redis refuses writes once its {most:,} bytes are full (noeviction)",
                "set maxmemory-policy allkeys-lru",
            )
        ]
    return [ok(f"Redis uses {used:,} of {most:,} bytes, and makes room by {policy}")]
