"""Who may do what: the key of a request, the scope that a route needs, and how often what costs may be asked.

A route names its scope in `opt`. One that names none needs `admin`, so that nothing is open by oversight.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException, TooManyRequestsException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import Components, SecurityScheme

from orderkeep.api.guard import is_loopback
from orderkeep.api.keyring import Grant, Keyring, KeysStatus
from orderkeep.api.limits import Limits, network
from orderkeep.api.problems import described
from orderkeep.errors import ConfigurationError
from orderkeep.keys import Scope, read_keys
from orderkeep.settings import Settings

Connection = ASGIConnection[Any, Any, Any, Any]

OPEN: Final[dict[str, Any]] = {"scope": None}
"""The `opt` of a route that needs no key."""

_SCHEME = "key"
SECURITY: Final = Components(
    security_schemes={
        _SCHEME: SecurityScheme(
            type="http",
            scheme="bearer",
            bearer_format="orderkeep_<id>_<secret>",
            description="A key of `orderkeep keys new`. A service without ORDERKEEP_KEYS_FILE asks for none.",
        )
    }
)
_REFUSALS: Final = {
    401: described("There is no key, or it is unknown, revoked or expired"),
    403: described("The key lacks the scope"),
}
TOO_MANY: Final = described("This client asks too often: see `retry-after`")


def needs(scope: Scope, *, costs: bool = False) -> dict[str, Any]:
    """The `opt` of a route: the scope that a key has to have, and whether every request costs something."""
    return {"scope": scope, "costs": costs}


class Access:
    """What every request passes before its handler, where there are keys or limits."""

    def __init__(self, keyring: Keyring | None = None, limits: Limits | None = None) -> None:
        self._keyring = keyring
        self._limits = limits

    def guard(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Raises what is answered with 401, 403 or 429. The key is in the scope from here on."""
        scope: Scope | None = handler.opt.get("scope", "admin")
        if self._keyring is not None:
            sent = _sent(connection.scope["headers"])
            grant = connection.scope["auth"] = self._keyring.grant(sent)
            if scope is not None:
                _demand(scope, grant, was_sent=bool(sent))
        if handler.opt.get("costs"):
            self.spend(connection)

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Keep the keys in force as their file is, until cancelled; `on_change` is called after a change."""
        if self._keyring is None:
            await asyncio.Event().wait()
        else:
            await self._keyring.watch(on_change)

    @property
    def keys(self) -> KeysStatus | None:
        """Whether they can be read; None where there are none."""
        return self._keyring.status if self._keyring else None

    def spend(self, connection: Connection) -> None:
        """This request costs something. Raises what is answered with 429."""
        if self._limits is None:
            return
        grant = grant_of(connection)
        client = grant.key.id if grant else network(connection.client.host if connection.client else "")
        if seconds := self._limits.take(client):
            raise TooManyRequestsException(
                detail="This client asks too often for what is not in memory.",
                headers={"retry-after": str(math.ceil(seconds))},
            )

    def may_read(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these headers, named in lower case, may read an order."""
        if self._keyring is None:
            return True
        grant = self._keyring.grant(_sent(headers))
        return grant is not None and "read" in grant.key.scopes

    def describe(self, handler: HTTPRouteHandler) -> None:
        """Add to the description of a route which scope it needs, and how it refuses."""
        scope = handler.opt.get("scope")
        if scope is None:
            return
        handler.security = [{_SCHEME: [scope]}] if self._keyring else [{_SCHEME: [scope]}, {}]
        costs = {429: TOO_MANY} if handler.opt["costs"] else {}
        handler.responses = {**_REFUSALS, **costs, **(handler.responses or {})}


def access_of(settings: Settings) -> Access:
    """As the settings have it. Nothing is read before it is watched."""
    keyring = Keyring(Path(settings.keys_file)) if settings.keys_file else None
    limits = Limits(settings.http_client_rate) if settings.http_client_rate else None
    return Access(keyring, limits)


def refuse_exposure(settings: Settings) -> None:
    """Raises `ConfigurationError` when orders would be served to a network that nothing keeps out.

    Keys that do have to be there, and whole.
    """
    if settings.keys_file:
        read_keys(Path(settings.keys_file))
    elif settings.http_protected and not is_loopback(settings.http_host):
        raise ConfigurationError(
            f"ORDERKEEP_HTTP_HOST is {settings.http_host}, and anyone who reaches it could read every order: "
            "listen on 127.0.0.1, make keys and set ORDERKEEP_KEYS_FILE, or set "
            "ORDERKEEP_HTTP_PROTECTED=false if something in front asks who it is"
        )


def grant_of(connection: Connection) -> Grant | None:
    """The key that the request came with, where there are keys."""
    grant: Grant | None = connection.scope.get("auth")
    return grant


def _sent(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [value for name, value in headers if name == b"authorization"]


def _demand(scope: Scope, grant: Grant | None, *, was_sent: bool) -> None:
    """Raises what is answered with 401 or 403 (RFC 6750, 3)."""
    if grant is None:
        wrong = ', error="invalid_token"' if was_sent else ""
        raise NotAuthorizedException(
            detail="This key is unknown, revoked or expired."
            if was_sent
            else "A key is needed: send it as `Authorization: Bearer KEY`.",
            headers={"www-authenticate": f'Bearer realm="orderkeep"{wrong}'},
        )
    if scope not in grant.key.scopes:
        raise PermissionDeniedException(
            detail=f"The key {grant.key.id} lacks the scope {scope}.",
            headers={
                "www-authenticate": f'Bearer realm="orderkeep", error="insufficient_scope", scope="{scope}"'
            },
        )


def who(connection: Connection) -> dict[str, str]:
    """Whose key it was, for the log."""
    grant = grant_of(connection)
    return {"key": grant.key.id, "name": grant.key.name} if grant else {}
