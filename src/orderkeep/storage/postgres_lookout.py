"""Looking around while a write does not end: is another server the primary, does a dead writer block us?

No statement of a write has a timeout: COMMIT may have to wait for a standby, and any other for a lock, as
long as it takes. What would wait for ever is found out over another connection.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from orderkeep.errors import OrderkeepError
from orderkeep.storage.postgres_connection import connect_and_tell
from orderkeep.storage.postgres_errors import translated
from orderkeep.storage.postgres_hosts import HOST_SECONDS, Branch
from orderkeep.storage.queries import QUERIES

if TYPE_CHECKING:
    from asyncpg import Connection

LOOK_SECONDS = 5.0
"""How long a write takes before, and between, the looks."""
SILENT_SECONDS = 15
"""A writer that holds what others wait for, and has sent nothing for so long, is frozen or cut off.

One that works sends something every few milliseconds of its transaction. The setting
idle_in_transaction_session_timeout does the same between statements, and nothing does within COPY: no
timeout of PostgreSQL ends a session that waits for the rest of one (seen with 18.6).
"""


@asynccontextmanager
async def looking_around(
    url: str, connection: "Connection[Any]", branch: Branch | None
) -> AsyncIterator[None]:
    """While the block takes long: end `connection` when another server is the primary of `url` now, which
    the block sees as a lost connection; and end the sessions of silent writers that `connection` waits for.
    """
    looking = asyncio.create_task(_look(url, connection, branch))
    try:
        yield
    finally:
        looking.cancel()


async def _look(url: str, connection: "Connection[Any]", branch: Branch | None) -> None:
    while not connection.is_closed():
        await asyncio.sleep(LOOK_SECONDS)
        try:
            async with asyncio.timeout(HOST_SECONDS * 2):
                await _look_once(url, connection, branch)
        except (OrderkeepError, TimeoutError):
            continue  # no primary answers: there is nothing better to wait for


async def _look_once(url: str, connection: "Connection[Any]", branch: Branch | None) -> None:
    other = await connect_and_tell(url, "lookout", role="primary")
    try:
        if branch and other.branch and other.branch.replaces(branch):
            connection.terminate()
        else:
            with translated():
                await other.connection.execute(
                    QUERIES["end_silent_writers"], connection.get_server_pid(), float(SILENT_SECONDS)
                )
    finally:
        other.connection.terminate()
