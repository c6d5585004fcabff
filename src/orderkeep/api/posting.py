"""The route by which orders are posted: validated as the broker's are, stored, and each told its outcome."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from litestar import Request, Response, post
from litestar.exceptions import InternalServerException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, Operation, Reference, RequestBody
from msgspec import Struct

from orderkeep.api.access import needs, who
from orderkeep.api.examples import ORDER
from orderkeep.api.gate import Gate
from orderkeep.api.guard import json_only
from orderkeep.api.problems import ERASED, PROBLEM_JSON, UNAVAILABLE, Problem, described, problem
from orderkeep.api.wrong_fields import WrongField, wrong_fields
from orderkeep.cache.cache import Cache
from orderkeep.cache.entry import render
from orderkeep.errors import (
    DatabaseUnavailable,
    NotAllowed,
    OrderErased,
    Rejected,
    RejectKind,
    ServerUnavailable,
)
from orderkeep.ingest.intake import Intake, Taken
from orderkeep.storage.store import StoredOrder

POSTS, POST_SECONDS = 256, 10.0
"""Orders that a process takes at a time, and how long each may take."""
REFUSALS, REFUSAL_SECONDS = 16, 10.0
"""Of what is no order, how many are looked through for wrong fields; one at a time, the others wait."""

_MAY_NOT_WRITE = (
    "The database user of this service may not write: set ORDERKEEP_DATABASE_URL to a user of the role "
    "orderkeep_ingest."
)


log = structlog.get_logger()


class Posted(Struct, frozen=True):
    """The order is stored; `location` in the head says where it is served."""

    message: str = "Order processed and saved successfully"


class NoOrder(Problem, frozen=True, kw_only=True):
    """`kind` is that of a reject; `errors` are all fields that are wrong, up to a hundred.

    They are empty when no field is at fault, but the text itself.
    """

    kind: RejectKind
    errors: list[WrongField]


_NO_ORDER: Final = NoOrder(
    "Unprocessable Entity",
    422,
    "That is no order: Expected `int`, got `str` - at `$.payment.amount`",
    kind="invalid",
    errors=[
        WrongField("$.payment.amount", "has to be of the type integer"),
        WrongField("$.sm_id", "is missing"),
    ],
)
_STORED = ResponseSpec(
    Posted,
    generate_examples=False,
    description="The order is stored",
    examples=[Example(value={"message": Posted().message})],
)
_THERE = ResponseSpec(
    Posted,
    generate_examples=False,
    description="It was stored before, with the same bytes",
    examples=[Example(value={"message": Posted().message})],
)
_WRONG = ResponseSpec(
    NoOrder,
    generate_examples=False,
    description="It is no order: every field that is wrong",
    media_type=PROBLEM_JSON,
    examples=[Example(value=_NO_ORDER)],
)


@dataclass
class _TakesAnOrder(Operation):
    """The handler takes bytes, since they are stored; the description says what they have to be."""

    def __post_init__(self) -> None:
        content = OpenAPIMediaType(
            schema=Reference(ref="#/components/schemas/Order"), examples={"order": Example(value=ORDER)}
        )
        self.request_body = RequestBody(content={"application/json": content}, required=True)


def posting_route(intake: Intake, cache: Cache) -> HTTPRouteHandler:
    """The handler, bound to what stores orders, and to where they are read from next."""
    taking = Gate("orders", POSTS, POST_SECONDS)
    refusing = Gate("wrong orders", REFUSALS, REFUSAL_SECONDS)
    one_at_a_time = asyncio.Lock()

    @post(
        "/orders",
        opt=needs("write", costs=True),
        operation_id="post_order",
        operation_class=_TakesAnOrder,
        summary="Store an order; to send it again stores nothing twice",
        tags=["orders"],
        guards=[json_only],
        responses={
            200: _THERE,
            201: _STORED,
            400: described("The body did not arrive whole"),
            403: described(
                "The key lacks the scope, a page of another site asks, or this service may not write"
            ),
            409: described("Another order is stored under its uid"),
            410: ERASED,
            413: described("The body is too large"),
            415: described("The body is not JSON"),
            422: _WRONG,
            503: UNAVAILABLE,
        },
    )
    async def post_order(request: Request[Any, Any, Any]) -> Response[Posted] | Response[Problem]:
        try:
            payload = await request.body()
        except InternalServerException:  # Litestar's word for a client that has gone
            return problem(400, "The body did not arrive whole.")
        try:
            async with taking.enter():
                taken = await intake.take(payload)
        except Rejected as error:
            if error.kind == "too_large":
                return problem(413, f"An order has at most that size: {error.reason}")
            async with refusing.enter(), one_at_a_time:
                return _refused(error, await asyncio.to_thread(wrong_fields, payload, error))
        except ServerUnavailable as error:
            raise DatabaseUnavailable(str(error)) from error
        except NotAllowed:
            return problem(403, _MAY_NOT_WRITE)
        log.info("order_posted", order_uid=taken.order_uid, outcome=taken.outcome, **who(request))
        if taken.outcome == "stored":
            # Whoever reads it next finds it, before it was heard of from the database.
            stored = StoredOrder(taken.order_uid, payload, datetime.now(UTC))
            await cache.put_new(stored.order_uid, render(stored))
        return _told(taken)

    return post_order


def _told(taken: Taken) -> Response[Posted] | Response[Problem]:
    if taken.outcome == "erased":
        raise OrderErased(taken.order_uid)
    if taken.outcome == "conflict":
        return problem(409, f"Another order is stored under the uid {taken.order_uid}.")
    return Response(
        Posted(),
        status_code=201 if taken.outcome == "stored" else 200,
        headers={"cache-control": "no-store", "location": f"/orders/{taken.order_uid}"},
    )


def _refused(error: Rejected, fields: list[WrongField]) -> Response[Problem]:
    told = NoOrder(
        "Unprocessable Entity", 422, f"That is no order: {error.reason}", kind=error.kind, errors=fields
    )
    return Response(told, status_code=422, media_type=PROBLEM_JSON, headers={"cache-control": "no-store"})
