"""Where an order came from: a question of its own, since an order is answered with its bytes and no more."""

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from msgspec import convert

from orderkeep.api.access import needs
from orderkeep.api.examples import ORIGIN
from orderkeep.api.gate import Gate
from orderkeep.api.orders import Uid
from orderkeep.api.problems import UNAVAILABLE, WRONG, Problem, described, problem
from orderkeep.order import is_uid
from orderkeep.storage.store import OrderOrigin, OrderReader

ORIGINS, ORIGIN_SECONDS = 16, 5.0
"""Questions that a process works on at a time, and how long each may take."""

_FOUND = ResponseSpec(
    OrderOrigin,
    generate_examples=False,
    description="Its message, and when it was received",
    examples=[Example(value=convert(ORIGIN, OrderOrigin))],
)


def origin_route(reader: OrderReader) -> HTTPRouteHandler:
    """The handler, bound to where orders are read from."""
    gate = Gate("origins of orders", ORIGINS, ORIGIN_SECONDS)

    @get(
        "/orders/{uid:str}/origin",
        opt=needs("read", costs=True),
        operation_id="origin",
        summary="When an order was received, and from which partition and position",
        tags=["orders"],
        responses={200: _FOUND, 400: WRONG, 404: described("There is no such order"), 503: UNAVAILABLE},
    )
    async def origin(uid: Uid) -> Response[OrderOrigin] | Response[Problem]:
        if not is_uid(uid):
            return problem(404, "That is no uid of an order.")
        async with gate.enter():
            found = await reader.order_origin(uid)
        if found is None:
            return problem(404, f"There is no order {uid!r}.")
        return Response(found, headers={"cache-control": "no-store"})

    return origin
