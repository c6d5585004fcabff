"""What every request passes first: the names that may be asked for, and headers that every answer has."""

import ipaddress
from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from orderkeep.observe.metrics import Metrics

_REFUSAL = (
    b'{"type":"about:blank","title":"Misdirected Request","status":421,'
    b'"detail":"The Host header names no host of this service; see ORDERKEEP_HTTP_ALLOWED_HOSTS."}'
)


class AllowedHosts:
    """The Host allow-list: without one, a page of any site could read loopback by rebinding its name."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = {name.strip().lower() for name in allowed if name.strip()}

    def allow(self, host: str) -> bool:
        """`host` is the header's value, with or without a port."""
        name = _without_port(host.lower())
        return "*" in self._allowed or name == "localhost" or name in self._allowed or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether the name is `localhost` or an address of the loopback."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware around the whole application: Host allow-list, and requests counted by status."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, metrics: Metrics) -> None:
        self._app = app
        self._hosts = hosts
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if not self._hosts.allow(host.decode("latin-1")):
            await _refuse(send)
            self._metrics.add("orderkeep_http_requests_total", 1, "", "421")
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = str(scope.get("path_template") or "")
                self._metrics.add("orderkeep_http_requests_total", 1, route, str(message["status"]))
            await send(message)

        await self._app(scope, receive, counted)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(_REFUSAL))]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSAL, "more_body": False})


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (
        name if colon and (port.isdigit() or not port) and (not name.count(":") or name[0] == "[") else host
    )
