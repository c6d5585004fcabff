"""Which incarnation of a topic a group read last, for a broker that tells only some of it."""

from orderkeep.storage.postgres_connection import close, connect
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.queries import QUERIES

SECONDS = 10.0


async def latest_incarnation(url: str, kind: str, topic: str, group: str) -> str | None:
    """None when the group has read none. Raises `Transient` or `Fatal`."""
    with translated():
        connection = await connect(url, "ingest", role="primary", seconds=SECONDS)
        try:
            found: str | None = await connection.fetchval(
                QUERIES["latest_incarnation"], group, kind, topic, timeout=SECONDS
            )
            return found
        finally:
            await close(connection)
