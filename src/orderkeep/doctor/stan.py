"""NATS Streaming: that it answers. It tells nothing of a channel but its messages; see `lag`."""

import secrets
from typing import TYPE_CHECKING, NamedTuple

from orderkeep.settings import Settings

from .check import Sight, Verdict, ok, warning

if TYPE_CHECKING:
    from .lag import Positions

DEFAULT_LIMIT = 1_000_000
"""Messages that a channel keeps unless the server is started with -mm 0 (its configuration's max_msgs)."""


class Stan(NamedTuple):
    version: str


async def server(sight: Sight) -> Stan:
    """Under a client id of our own. Raises `Transient` or `Fatal`."""
    from orderkeep.stan_connection import connect_stan  # the client may not be installed

    settings = sight.settings
    client_id = f"{settings.stan_client_id}-doctor-{secrets.token_hex(4)}"
    client = await connect_stan(settings.nats_url, settings.stan_cluster, client_id, "orderkeep doctor")
    try:
        version = client.nats.connected_server_version
        return Stan(f"{version.major}.{version.minor}.{version.patch}")
    finally:
        await client.end()


def reached(settings: Settings, seen: Stan) -> Verdict:
    return ok(f"the cluster {settings.stan_cluster} answers, over nats-server {seen.version}")


def limits(settings: Settings, seen: "Positions") -> Verdict:
    """Told by what is left of the channel, since the server does not tell its limits."""
    low, end = seen.low.get(0, 1), seen.end.get(0, 1)
    if low > 1:
        return warning(
            f"the server has dropped the first {low - 1:,} messages of {settings.nats_subject}",
            "start it with -mm 0 -mb 0 and no maximum age, if none is to be lost while ingest is away",
        )
    if end - low > DEFAULT_LIMIT * 0.8:
        return warning(
            f"{settings.nats_subject} has {end - low:,} messages; by default the server drops the oldest "
            f"beyond {DEFAULT_LIMIT:,}",
            "be sure that it was started with -mm 0 -mb 0",
        )
    return ok(f"{settings.nats_subject} has all of its {end - low:,} messages")
