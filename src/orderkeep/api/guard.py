"""What every request passes first: the names that may be asked for, and headers that every answer has."""

import ipaddress
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from orderkeep.api.problems import PROBLEM_JSON, Problem
from orderkeep.observe.metrics import Metrics

_NOT_ONE_HOST = Problem("Bad Request", 400, "A request names its host exactly once (RFC 9112, 3.2).")
_FOREIGN_HOST = Problem(
    "Misdirected Request",
    421,
    "The Host header names no host of this service; see ORDERKEEP_HTTP_ALLOWED_HOSTS.",
)


_CROSS_SITE = Problem(
    "Forbidden",
    403,
    "A page of another site may not ask for this (Sec-Fetch-Site, Origin).",
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OWN_SITE = frozenset({"same-origin", "none"})


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


def json_body_only(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A body, if there is any, is JSON: a page of another site cannot send that unasked. Raises 415."""
    headers = connection.headers
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        json_only(connection, handler)


def json_only(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """What is sent is JSON, and says so. Raises 415."""
    headers = connection.headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" or headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(status_code=415, detail="A body has to be application/json, and not compressed.")


class Guard:
    """ASGI middleware around the whole application.

    It keeps out requests for other hosts, and what pages of other sites have a browser send; and it counts
    requests by route and status, and times their answers.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, metrics: Metrics) -> None:
        self._app = app
        self._hosts = hosts
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        refusal = self._judge(scope)
        if refusal is not None:
            await _send(send, refusal)
            self._metrics.add("orderkeep_http_requests_total", 1, "", str(refusal.status))
            return
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = str(scope.get("path_template") or "")
                self._metrics.add("orderkeep_http_requests_total", 1, route, str(message["status"]))
                self._metrics.observe("orderkeep_http_answer_seconds", time.perf_counter() - began, route)
            await send(message)

        await self._app(scope, receive, counted)

    def _judge(self, scope: HTTPScope) -> Problem | None:
        """Why the request is refused, or None: it has to name one host, and one of ours."""
        hosts = _values(scope, b"host")
        if not hosts and scope["http_version"] == "1.0":
            return None  # HTTP/1.0 knows no Host, and no browser speaks it
        if len(hosts) != 1:
            return _NOT_ONE_HOST
        if not self._hosts.allow(hosts[0]):
            return _FOREIGN_HOST
        return None if scope["method"] in _SAFE or _is_own_site(scope, hosts[0]) else _CROSS_SITE


async def _send(send: Send, problem: Problem) -> None:
    body = msgspec.json.encode(problem)
    headers = [
        (b"cache-control", b"no-store"),
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _values(scope: HTTPScope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _is_own_site(scope: HTTPScope, host: str) -> bool:
    """Whether no page of another site has made the browser ask; what is no browser says neither header."""
    sites = _values(scope, b"sec-fetch-site")
    if sites:
        return _OWN_SITE.issuperset(sites)
    return all(origin.partition("://")[2].lower() == host.lower() for origin in _values(scope, b"origin"))


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (
        name if colon and (port.isdigit() or not port) and (not name.count(":") or name[0] == "[") else host
    )
