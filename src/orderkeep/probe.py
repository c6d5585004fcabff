"""Asks a process of this machine whether it lives, as the health check of a container does."""

import http.client
import ssl
from typing import Final, Literal, NamedTuple

from orderkeep.errors import ConfigurationError
from orderkeep.settings import Settings, variable

SECONDS: Final = 3.0
"""How long an answer is waited for: less than what container engines give a health check."""
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what such an address is reached by

Role = Literal["api", "ingest"]


class Health(NamedTuple):
    """Whether it answered with 200, and its answer, or in a line why there is none."""

    well: bool
    text: str


def ask(settings: Settings, role: Role, *, ready: bool = False) -> Health:
    """Ask for `/health/live`, or for `/health/ready`, at the address and port of the settings.

    Blocks for at most 3 seconds between two bytes. Raises `ConfigurationError` when the port is not known.
    """
    host, port = _address(settings, role)
    connection = _connection(
        _ANYWHERE.get(host, host), port, tls=role == "api" and bool(settings.http_tls_cert_file)
    )
    try:
        connection.request("GET", f"/health/{'ready' if ready else 'live'}")
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return Health(well=False, text=f"{role} does not answer at {host}:{port}: {error}")
    finally:
        connection.close()
    return Health(well=response.status == http.client.OK, text=text)


def _connection(host: str, port: int, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=SECONDS)
    context = ssl.create_default_context()
    context.check_hostname = False  # the certificate names the service, not the loopback address
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)


def _address(settings: Settings, role: Role) -> tuple[str, int]:
    host, port = {
        "api": (settings.http_host, settings.http_port),
        "ingest": (settings.ingest_host, settings.ingest_port),
    }[role]
    if port == 0:
        name = variable("http_port" if role == "api" else "ingest_port")
        raise ConfigurationError(f"{name} is 0, and nobody else knows which port was taken: name one")
    return host, port
