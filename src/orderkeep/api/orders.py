"""The routes of orders: one by id; the list of them has its own module."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from litestar import HttpMethod, Request, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Parameter
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from orderkeep.api.access import TOO_MANY, Access, needs
from orderkeep.api.examples import ORDER
from orderkeep.api.order_list import list_route
from orderkeep.api.problems import ERASED, UNAVAILABLE, WRONG, described, problem
from orderkeep.cache.entry import body, etag
from orderkeep.cache.read_through import Found, ReadThrough
from orderkeep.errors import DatabaseUnavailable
from orderkeep.order import Order, is_uid
from orderkeep.storage.store import OrderReader

READ_SECONDS = 8.0
"""How long the reading of one order may take; a statement may take five of these."""

_HEADERS = {
    "cache-control": "private, no-cache",
    "vary": "authorization",
    "x-content-type-options": "nosniff",
}
_OPAQUE = re.compile(r'(?:W/)?("[^"]*")')

_ANSWERS = {
    200: ResponseSpec(
        Order, generate_examples=False, description="The order", examples=[Example(value=ORDER)]
    ),
    304: ResponseSpec(None, generate_examples=False, description="The order that `if-none-match` names"),
    400: WRONG,
    404: described("There is no such order"),
    410: ERASED,
    429: TOO_MANY,
    503: UNAVAILABLE,
}

Uid = Annotated[
    str,
    Parameter(description="The order's uid.", max_length=128, examples=[Example(value=ORDER["order_uid"])]),
]


def order_routes(
    orders: ReadThrough, reader: OrderReader, access: Access | None = None
) -> list[HTTPRouteHandler]:
    """The handlers, bound to where orders are read from: one by `orders`, lists by `reader`.

    `access` says how many orders that are not in memory a client may ask for.
    """
    spend = (access or Access()).spend

    @route(
        ["/orders/{uid:str}", "/order/{uid:str}"],
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        opt=needs("read"),
        operation_id=_operation,
        summary="An order by its uid, byte for byte as it was sent",
        tags=["orders"],
        responses=_ANSWERS,
    )
    async def order(request: Request[Any, Any, Any], uid: Uid) -> Response[Any]:
        return _answer(request, uid, await _read(orders, uid, partial(spend, request)))

    @route(
        "/order/order",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        opt=needs("read"),
        operation_id=_operation,
        summary="An order by its uid, given as a query",
        tags=["orders"],
        responses=_ANSWERS,
    )
    async def order_by_query(request: Request[Any, Any, Any], order_uid: Uid = "order") -> Response[Any]:
        return _answer(request, order_uid, await _read(orders, order_uid, partial(spend, request)))

    return [order, order_by_query, list_route(reader)]


async def _read(orders: ReadThrough, uid: str, spend: Callable[[], None]) -> Found | None:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await orders.get(uid, spend)
    except TimeoutError:
        raise DatabaseUnavailable(f"order {uid}: no answer within {READ_SECONDS:g} seconds") from None


def _operation(
    _handler: HTTPRouteHandler, method: HttpMethod | Method, path: list[str | PathParameterDefinition]
) -> str:
    """A name for each pair of method and path: the same order is at several."""
    words = [part if isinstance(part, str) else "by_uid" for part in path]
    return "_".join([HttpMethod(method).value.lower(), *words])


def _answer(request: Request[Any, Any, Any], uid: str, found: Found | None) -> Response[Any]:
    if found is None:
        return problem(404, f"There is no order {uid!r}." if is_uid(uid) else "That is no uid of an order.")
    tag = etag(found.entry)
    headers = {**_HEADERS, "etag": tag, "x-orderkeep-cache": found.via}
    if _matches(request.headers.get("if-none-match"), tag):
        return Response(None, status_code=304, headers=headers)
    return Response(body(found.entry), media_type="application/json", headers=headers)


def _matches(condition: str | None, tag: str) -> bool:
    """Whether If-None-Match names the tag; the comparison is the weak one (RFC 9110, 13.1.2)."""
    if condition is None:
        return False
    return condition.strip() == "*" or tag in _OPAQUE.findall(condition)
