"""The API processes that share a port: whichever is asked for the metrics asks the others for theirs.

Each listens on a Unix socket, a number in a folder that `orderkeep serve` makes for them and for nobody else.
Whoever connects is told the metrics of that process, and the connection ends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from orderkeep.errors import ConfigurationError
from orderkeep.observe.metrics import Family

ANSWER_SECONDS = 3.0
"""For the metrics of another process: more than it waits for the database, less than Prometheus waits."""

Families = list[Family]


class Workers:
    """This process among those that share the port; `socket` is its own, and beside it are the others'."""

    def __init__(self, socket: Path, families: Callable[[], Awaitable[Families]]) -> None:
        """`families` gives the metrics of this process."""
        self._socket = socket
        self._families = families

    async def tell_until(self, stop: asyncio.Event) -> None:
        """Tell the others whenever they ask. Raises `ConfigurationError`."""
        self._socket.unlink(missing_ok=True)  # of a process before us that was killed
        try:
            server = await asyncio.start_unix_server(self._tell, self._socket)
        except OSError as error:
            raise ConfigurationError(
                f"{self._socket} cannot be made ({error.strerror or error}), by which API processes tell "
                "each other of their metrics: set TMPDIR, or ORDERKEEP_HTTP_WORKERS=1"
            ) from None
        try:
            await stop.wait()
        finally:
            server.close()
            self._socket.unlink(missing_ok=True)

    async def ask_all(self) -> dict[str, Families]:
        """The metrics of each process by its number, our own among them; without those that do not answer."""
        others = [path for path in sorted(self._socket.parent.iterdir()) if path != self._socket]
        own, *told = await asyncio.gather(self._families(), *map(_ask, others))
        found = {path.name: families for path, families in zip(others, told, strict=True) if families}
        return dict(sorted({self._socket.name: own, **found}.items()))

    async def _tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(msgspec.json.encode(await self._families()))
            await writer.drain()
        writer.close()


async def _ask(path: Path) -> Families:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return msgspec.json.decode(await reader.read(), type=Families)
            finally:
                writer.close()
    except (OSError, TimeoutError, msgspec.DecodeError):
        return []
