"""The routes of rejects: the newest, one of them whole, and to put one through the pipeline again."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import structlog
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Parameter
from msgspec import Struct, convert

from orderkeep.api.access import needs, who
from orderkeep.api.examples import REJECT_DOCUMENT, REJECT_PAGE, REPLAYED
from orderkeep.api.gate import Gate
from orderkeep.api.guard import json_body_only
from orderkeep.api.order_list import LARGEST_PAGE
from orderkeep.api.point_in_time import Since, Until, point_in_time
from orderkeep.api.problems import UNAVAILABLE, WRONG, Problem, described, problem
from orderkeep.errors import DatabaseUnavailable, NotAllowed, RejectKind, ServerUnavailable
from orderkeep.ingest.replay import Replay, Replayer
from orderkeep.reject_document import RejectDocument, document
from orderkeep.storage.rejects import RejectFilter, RejectStore, RejectSummary

log = structlog.get_logger()


class RejectPage(Struct, frozen=True):
    """The newest rejects first; `next` continues the list when given as `after`."""

    rejects: list[RejectSummary]
    next: int | None


_NO_STORE = {"cache-control": "no-store"}
_LARGEST_ID = 2**53 - 1  # the largest integer that every reader of JSON has exactly

READS, READ_SECONDS = 8, 10.0
"""Reads of rejects that a process works on at a time, and how long each may take."""
REPLAYS, REPLAY_SECONDS = 8, 10.0
"""One replay is made at a time; the others of these wait."""

_PAGE = ResponseSpec(
    RejectPage,
    generate_examples=False,
    description="A page, and in the `link` header the next one",
    examples=[Example(value=convert(REJECT_PAGE, RejectPage))],
)
_FOUND = ResponseSpec(
    RejectDocument,
    generate_examples=False,
    description="The reject",
    examples=[Example(value=convert(REJECT_DOCUMENT, RejectDocument))],
)
_REPLAYED = ResponseSpec(
    Replay,
    generate_examples=False,
    description="What became of it",
    examples=[Example(value=convert(REPLAYED, Replay))],
)
_MISSING = described("There is no such reject")
_MAY_NOT_WRITE = (
    "The database user of this service may not write: set ORDERKEEP_DATABASE_URL to a user of the role "
    "orderkeep_ingest, or use `orderkeep rejects replay`."
)

Id = Annotated[
    int,
    Parameter(ge=1, le=_LARGEST_ID, description="The reject's number.", examples=[Example(value=17)]),
]
Kind = Annotated[
    RejectKind | None,
    Parameter(description="Only of this kind.", examples=[Example(value="conflict")]),
]
Topic = Annotated[
    str | None,
    Parameter(
        max_length=255,
        pattern=r"^[!-~]+$",
        description="Only of this topic.",
        examples=[Example(value="orders")],
    ),
]
After = Annotated[
    int | None,
    Parameter(ge=1, le=_LARGEST_ID, description="`next` of the page before.", examples=[Example(value=17)]),
]


def reject_routes(rejects: RejectStore, replayer: Replayer) -> list[HTTPRouteHandler]:
    """The handlers, bound to where rejects are read from, and to what replays them."""
    reading = Gate("rejects", READS, READ_SECONDS)
    replaying = Gate("replays", REPLAYS, REPLAY_SECONDS)

    @get(
        "/rejects",
        opt=needs("read", costs=True),
        operation_id="rejects",
        summary="The newest rejected messages",
        tags=["rejects"],
        responses={200: _PAGE, 400: WRONG, 503: UNAVAILABLE},
    )
    async def newest(
        kind: Kind = None,
        topic: Topic = None,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Parameter(ge=1, le=LARGEST_PAGE, description="Rejects of a page.")] = 20,
        after: After = None,
    ) -> Response[RejectPage]:
        now = datetime.now(UTC)
        wanted = RejectFilter(
            kind, topic, point_in_time("since", since, now), point_in_time("until", until, now)
        )
        async with reading.enter():
            page = await rejects.page(wanted, limit, after)
        following = page[-1].id if len(page) == limit else None
        headers = _NO_STORE | ({"link": _link(wanted, limit, following)} if following else {})
        return Response(RejectPage(page, following), headers=headers)

    @get(
        "/rejects/{reject_id:int}",
        opt=needs("admin", costs=True),
        operation_id="reject",
        summary="A rejected message, whole: its payload as text, or in base64",
        tags=["rejects"],
        responses={200: _FOUND, 400: WRONG, 404: _MISSING, 503: UNAVAILABLE},
    )
    async def one(reject_id: Id) -> Response[RejectDocument] | Response[Problem]:
        async with reading.enter():
            found = await rejects.get(reject_id)
        if found is None:
            return problem(404, f"There is no reject {reject_id}.")
        return Response(document(found), headers={**_NO_STORE, "x-content-type-options": "nosniff"})

    @post(
        "/rejects/{reject_id:int}/replay",
        opt=needs("admin", costs=True),
        operation_id="replay",
        summary="Put a rejected message through the pipeline again; to repeat it adds nothing",
        tags=["rejects"],
        status_code=200,
        guards=[json_body_only],
        responses={
            200: _REPLAYED,
            400: WRONG,
            403: described(
                "The key lacks the scope, a page of another site asks, or this service may not write"
            ),
            404: _MISSING,
            413: described("The body is too large: none is needed"),
            415: described("The body is not JSON: none is needed"),
            503: UNAVAILABLE,
        },
    )
    async def replay(request: Request[Any, Any, Any], reject_id: Id) -> Response[Replay] | Response[Problem]:
        try:
            async with replaying.enter():
                replayed = await replayer.replay_by_id(reject_id)
        except ServerUnavailable as error:
            raise DatabaseUnavailable(str(error)) from error
        except NotAllowed:
            return problem(403, _MAY_NOT_WRITE)
        if replayed is None:
            return problem(404, f"There is no reject {reject_id}.")
        log.info("reject_replayed", reject_id=reject_id, outcome=replayed.outcome, **who(request))
        return Response(replayed, headers=_NO_STORE)

    return [newest, one, replay]


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
