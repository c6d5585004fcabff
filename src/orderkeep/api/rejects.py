"""The routes of rejects: the newest, and one of them whole."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, get
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from msgspec import Struct

from orderkeep.api.orders import LARGEST_PAGE
from orderkeep.api.problems import PROBLEM_JSON, Problem, problem
from orderkeep.errors import RejectKind
from orderkeep.moment import moment
from orderkeep.reject_document import RejectDocument, document
from orderkeep.storage.rejects import RejectFilter, RejectStore, RejectSummary

_NO_STORE = {"cache-control": "no-store"}
_LARGEST_ID = 2**63 - 1

_FOUND = ResponseSpec(RejectDocument, generate_examples=False, description="The reject")
_MISSING = ResponseSpec(
    Problem, generate_examples=False, description="There is no such reject", media_type=PROBLEM_JSON
)

Id = Annotated[int, Parameter(ge=1, le=_LARGEST_ID, description="The reject's number.")]
Topic = Annotated[
    str | None,
    Parameter(max_length=255, pattern=r"^[!-~]+$", description="Only of this topic."),
]
Since = Annotated[
    str | None, Parameter(max_length=64, description="Not older than: 1h, 7d, or a time of ISO 8601 (UTC).")
]
Until = Annotated[str | None, Parameter(max_length=64, description="Older than, written like `since`.")]


class RejectPage(Struct, frozen=True):
    """The newest rejects first; `next` continues the list when given as `after`."""

    rejects: list[RejectSummary]
    next: int | None


def reject_routes(rejects: RejectStore) -> list[HTTPRouteHandler]:
    """The handlers, bound to where rejects are read from."""

    @get("/rejects", operation_id="rejects", summary="The newest rejected messages", tags=["rejects"])
    async def newest(
        kind: Annotated[RejectKind | None, Parameter(description="Only of this kind.")] = None,
        topic: Topic = None,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Parameter(ge=1, le=LARGEST_PAGE, description="Rejects of a page.")] = 20,
        after: Annotated[
            int | None, Parameter(ge=1, le=_LARGEST_ID, description="`next` of the page before.")
        ] = None,
    ) -> Response[RejectPage]:
        now = datetime.now(UTC)
        wanted = RejectFilter(kind, topic, _moment("since", since, now), _moment("until", until, now))
        page = await rejects.page(wanted, limit, after)
        following = page[-1].id if len(page) == limit else None
        headers = _NO_STORE | ({"link": _link(wanted, limit, following)} if following else {})
        return Response(RejectPage(page, following), headers=headers)

    @get(
        "/rejects/{reject_id:int}",
        operation_id="reject",
        summary="A rejected message, whole: its payload as text, or in base64",
        tags=["rejects"],
        responses={200: _FOUND, 404: _MISSING},
    )
    async def one(reject_id: Id) -> Response[RejectDocument] | Response[Problem]:
        found = await rejects.get(reject_id)
        if found is None:
            return problem(404, f"There is no reject {reject_id}.")
        return Response(document(found), headers={**_NO_STORE, "x-content-type-options": "nosniff"})

    return [newest, one]


def _moment(name: str, text: str | None, now: datetime) -> datetime | None:
    try:
        return None if text is None else moment(text, now)
    except ValueError as error:
        raise ValidationException(f"{name}: {error}") from None


def _link(wanted: RejectFilter, limit: int, following: int) -> str:
    """The next page; an age such as 1h is written as the time that it meant on this one."""
    given = {
        "kind": wanted.kind,
        "topic": wanted.topic,
        "since": wanted.since and wanted.since.isoformat(),
        "until": wanted.until and wanted.until.isoformat(),
        "limit": limit,
        "after": following,
    }
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return f'</rejects?{query}>; rel="next"'
