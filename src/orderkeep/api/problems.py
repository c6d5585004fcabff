"""Every error of the API as application/problem+json (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.status_codes import HTTP_410_GONE, HTTP_500_INTERNAL_SERVER_ERROR, HTTP_503_SERVICE_UNAVAILABLE
from msgspec import Struct

from orderkeep.errors import Fatal, OrderErased, Overloaded, Transient

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = "1"

log = structlog.get_logger()


class Problem(Struct, frozen=True):
    """What went wrong: `title` is the same for every case of a status, `detail` about this one."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response[Problem]:
    """The answer for an error; none of them may be kept by a cache on the way."""
    return Response(
        Problem(title=HTTPStatus(status).phrase, status=status, detail=detail),
        status_code=status,
        media_type=PROBLEM_JSON,
        headers={"cache-control": "no-store", **(headers or {})},
    )


def described(text: str) -> ResponseSpec:
    """A problem in the description of the API."""
    return ResponseSpec(Problem, generate_examples=False, description=text, media_type=PROBLEM_JSON)


WRONG = described("A parameter is wrong")
ERASED = described("The order was erased because somebody asked for it, and does not come back")
UNAVAILABLE = described("The database does not answer, or too much is asked at once: see `retry-after`")


def on_http_exception(_request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    detail = error.detail
    if isinstance(error.extra, list):
        detail = "; ".join(f"{part.get('key', '')}: {part.get('message', '')}" for part in error.extra)
    return problem(error.status_code, detail, error.headers)


def on_erased(_request: Request[Any, Any, Any], error: OrderErased) -> Response[Problem]:
    return problem(HTTP_410_GONE, str(error))


def on_transient(_request: Request[Any, Any, Any], error: Transient) -> Response[Problem]:
    detail = (
        str(error)
        if isinstance(error, Overloaded)
        else "The database does not answer; try again in a second."
    )
    return problem(HTTP_503_SERVICE_UNAVAILABLE, detail, {"retry-after": RETRY_SECONDS})


def on_fatal(_request: Request[Any, Any, Any], _error: Fatal) -> Response[Problem]:
    """While the service runs, a database that cannot be used is being set up, or moved: it may come back."""
    detail = "The database cannot be used as it is set up; /health/ready says why."
    return problem(HTTP_503_SERVICE_UNAVAILABLE, detail, {"retry-after": RETRY_SECONDS})


def on_exception(_request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    log.error("request_failed", error=repr(error), exc_info=error)
    return problem(HTTP_500_INTERNAL_SERVER_ERROR, "The service made a mistake; its log says which.")


HANDLERS: dict[type[Exception] | int, Any] = {
    HTTPException: on_http_exception,
    OrderErased: on_erased,
    Transient: on_transient,
    Fatal: on_fatal,
    Exception: on_exception,
}
