"""Answers that are given without the application: to what is no request, and when there is too much to do."""

from collections.abc import Iterable
from http import HTTPStatus

import msgspec
from litestar.types import Receive, Scope, Send

from orderkeep.api.problems import PROBLEM_JSON, RETRY_SECONDS, Problem

MAX_HEAD_BYTES = 32_768
MAX_BODY_BYTES = 1_048_576

_DETAILS = {
    HTTPStatus.BAD_REQUEST: "That is no HTTP request.",
    HTTPStatus.REQUEST_TIMEOUT: "The request took too long to arrive.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"The body is larger than {MAX_BODY_BYTES:,} bytes.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: f"The head is larger than {MAX_HEAD_BYTES:,} bytes.",
    HTTPStatus.SERVICE_UNAVAILABLE: "There is too much to do; try again in a second.",
}
Headers = list[tuple[bytes, bytes]]


def refusal(status: HTTPStatus, headers: Iterable[tuple[bytes, bytes]] = (), *, retry: bool = False) -> bytes:
    """A whole response that ends the connection; `headers` come first, such as the date."""
    own, body = _parts(status, retry=retry)
    lines = b"".join(b"%b: %b\r\n" % header for header in (*headers, *own, (b"connection", b"close")))
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, _phrase(status).encode(), lines, body)


async def overloaded(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An ASGI application that says 503, whatever it is asked."""
    headers, body = _parts(HTTPStatus.SERVICE_UNAVAILABLE, retry=True)
    await send({"type": "http.response.start", "status": HTTPStatus.SERVICE_UNAVAILABLE, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _parts(status: HTTPStatus, *, retry: bool) -> tuple[Headers, bytes]:
    body = msgspec.json.encode(Problem(_phrase(status), status, _DETAILS[status]))
    headers = [
        (b"cache-control", b"no-store"),
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    return [*headers, (b"retry-after", RETRY_SECONDS.encode())] if retry else headers, body


def _phrase(status: HTTPStatus) -> str:
    """The title of a status (RFC 9110); newer versions of Python name 413 so themselves."""
    return "Content Too Large" if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else status.phrase
