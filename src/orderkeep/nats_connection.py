"""A connection to NATS: where it goes, as whom, what errors mean, and headers as the bytes that were sent.

It never reconnects by itself. Whoever uses it makes another, and looks first whether the stream and the
consumer are still the same: what nats-py would send again by itself could be meant for ones that are gone.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError, ServerError, ServiceUnavailableError
from nats.js.errors import Error as JetStreamError

from orderkeep.errors import BrokerUnavailable, ConfigurationError, Fatal
from orderkeep.refused_certificate import passes, why_refused

CONNECT_SECONDS = 5.0
PING_SECONDS = 5
FLUSH_SECONDS = 2.0
"""For much that waits to be sent: by itself nats-py waits for ever, also when the connection has ended."""
CLOSE_SECONDS = 1.0
"""For a server that does not take what is still to be sent."""
NOT_FOR_THIS_ACCOUNT = 10039
"""The error code of JetStream for an account that may not use it."""
_OF_CERTIFICATES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""What a URL may say behind its ?, by the names that a URL of Redis has for them."""

RawHeaders = list[tuple[bytes, bytes]]


class Headers(dict[str, str]):
    """A status of the server's own under the names that nats-py looks for; `raw` is the block as it came."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self.raw = raw
        line, _, _ = raw.partition(b"\r\n")
        _, _, status = line.partition(b" ")
        if status:
            code, _, description = status.decode(errors="replace").partition(" ")
            self.update({"Status": code, "Description": description})


class Connection(Client):
    """A client of nats-py that survives whatever a sender puts into a message.

    nats-py's own reading of headers loses what is repeated or is not UTF-8, and ends its reading, silently,
    at a status line that a sender has made up.
    """

    def __init__(self, *, insist_on_tls: bool = False) -> None:
        super().__init__()
        self._insist_on_tls = insist_on_tls
        self.lost = asyncio.Event()
        """Set when the connection has ended, by whatever side."""
        self.refusal = ""
        """What the server does not permit this user, once it has said so."""

    async def end(self) -> None:
        """Send what waits to be sent, and close; a server that takes nothing is not waited for."""
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close()
        if self._transport:
            self._transport.close()  # type: ignore[no-untyped-call] # nats-py gives no return type

    async def note_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            self.refusal = str(error).removeprefix("nats: ")

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        self.lost.set()  # not by its callback, which is not reached when the last bytes cannot be sent
        await super()._close(status, do_cbs)

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        return Headers(headers) if headers else None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return Msg(
            _client=self,
            subject=subject.decode(errors="replace"),
            reply=reply.decode(errors="replace"),
            data=data,
            headers=headers,
            _sid=sid,
        )

    def _connect_command(self) -> bytes:
        """nats-py would send the password in the clear to a server that does not ask for TLS."""
        if self._insist_on_tls and not self._server_info.get("tls_required"):
            raise Fatal("the NATS server does not offer TLS, which tls:// in ORDERKEEP_NATS_URL asks for")
        return super()._connect_command()


async def connect(url: str, name: str) -> Connection:
    """Connect to one of the servers of `url`: nats:// or tls://, comma-separated, each with credentials.

    What a URL says behind its ? of certificates is for all of them: ssl_ca_certs, ssl_certfile, ssl_keyfile.
    `name` is shown by the server. Takes at most `CONNECT_SECONDS`. Raises `BrokerUnavailable`, or `Fatal`
    when the server refuses the credentials.
    """
    servers = [part.strip() for part in url.split(",") if part.strip()]
    tls = _tls(servers)
    connection = Connection(insist_on_tls=tls is not None)
    try:
        with translated(connection, url):
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect(
                    [_without_credentials(server) for server in servers],
                    name=name,
                    allow_reconnect=False,
                    connect_timeout=round(CONNECT_SECONDS),
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    ping_interval=PING_SECONDS,
                    flush_timeout=FLUSH_SECONDS,
                    error_cb=connection.note_error,
                    tls=tls,
                    **_credentials(servers),
                )
    except BaseException:
        await connection.end()
        raise
    return connection


@contextmanager
def translated(connection: Connection, url: str) -> Iterator[None]:
    """Turn what NATS and the way to it refuse into `BrokerUnavailable`, or `Fatal` when a person must act."""
    try:
        yield
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise classify(error, connection, url) from error


def classify(error: Exception, connection: Connection, url: str) -> BrokerUnavailable | Fatal:
    """Which kind of error this is."""
    text = " ".join(str(error).removeprefix("nats: ").split()) or "no answer in time"
    if isinstance(error, ServiceUnavailableError | ServerError):
        return BrokerUnavailable(f"JetStream at {place(url)} cannot serve now ({error.description or text})")
    if isinstance(error, APIError):
        if error.err_code == NOT_FOR_THIS_ACCOUNT:
            return Fatal(f"JetStream at {place(url)} is not enabled for this account")
        return Fatal(f"JetStream at {place(url)} refuses: {error.description}")
    if "authorization violation" in text.lower() or "authentication" in text.lower():
        return Fatal(f"NATS at {place(url)} refuses us: correct the credentials in ORDERKEEP_NATS_URL")
    if isinstance(error, ssl.SSLCertVerificationError):
        refused = why_refused(
            f"NATS at {place(url)}", error, "?ssl_ca_certs=FILE behind ORDERKEEP_NATS_URL, or SSL_CERT_FILE"
        )
        return BrokerUnavailable(refused) if passes(error) else Fatal(refused)
    if isinstance(error, JetStreamError):
        return BrokerUnavailable(f"JetStream at {place(url)}: {text}")
    if connection.refusal:
        return Fatal(f"NATS at {place(url)} does not permit this user what is needed: {connection.refusal}")
    return BrokerUnavailable(f"NATS at {place(url)}: {text}")


def place(url: str) -> str:
    """The servers of a URL without credentials, for messages."""
    return ",".join(urlsplit(part.strip()).netloc.rpartition("@")[2] for part in url.split(","))


def read_headers(raw: bytes) -> RawHeaders:
    """Names and values in their order, repeated ones too, from a block that begins with NATS/1.0.

    Blanks around names and values are no part of them; a line without a colon is no header.
    """
    lines = raw.split(b"\r\n")[1:]
    pairs = (line.partition(b":") for line in lines)
    return [(name.strip(), value.strip()) for name, colon, value in pairs if colon]


def headers_of(message: Msg) -> RawHeaders:
    """The headers of a message that was received by a `Connection`."""
    return read_headers(message.headers.raw) if isinstance(message.headers, Headers) else []


def _credentials(servers: list[str]) -> dict[str, Any]:
    """User and password, or a token when there is no password, from the first URL that has any."""
    for server in servers:
        parts = _split(server)
        if parts.username and parts.password is not None:
            return {"user": unquote(parts.username), "password": unquote(parts.password)}
        if parts.username:
            return {"token": unquote(parts.username)}
    return {}


def _tls(servers: list[str]) -> ssl.SSLContext | None:
    """What to trust and to show, where TLS is asked for. Raises `ConfigurationError`."""
    given = {name: file for server in servers for name, file in parse_qsl(_split(server).query)}
    if unknown := given.keys() - _OF_CERTIFICATES:
        raise ConfigurationError(
            f"ORDERKEEP_NATS_URL: there is no {min(unknown)}, only {', '.join(_OF_CERTIFICATES)}"
        )
    if not given and not any(_split(server).scheme == "tls" for server in servers):
        return None
    try:
        context = ssl.create_default_context(cafile=given.get("ssl_ca_certs"))
        if "ssl_certfile" in given:
            context.load_cert_chain(given["ssl_certfile"], given.get("ssl_keyfile"), lambda: "")
    except OSError as error:  # an SSLError is one too
        files = ", ".join(f"{name}={file}" for name, file in given.items())
        raise ConfigurationError(
            f"ORDERKEEP_NATS_URL: {files} cannot be used, PEM files are expected ({error.strerror or error})"
        ) from None
    return context


def _without_credentials(server: str) -> str:
    parts = _split(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _split(server: str) -> Any:
    try:
        parts = urlsplit(server)
        _ = parts.port  # raises for one that is none
        if parts.scheme in ("nats", "tls") and parts.hostname:
            return parts
    except ValueError:
        pass
    raise ConfigurationError("ORDERKEEP_NATS_URL: a URL like nats://user:password@host:4222 is expected")
