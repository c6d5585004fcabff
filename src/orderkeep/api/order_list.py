"""The list of orders: the newest, those of a customer, track number or time, and those of a uid prefix."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, get
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Parameter
from msgspec import Struct

from orderkeep.api.access import needs
from orderkeep.api.examples import PAGE
from orderkeep.api.gate import Gate
from orderkeep.api.point_in_time import Since, Until, point_in_time
from orderkeep.api.problems import UNAVAILABLE, WRONG
from orderkeep.storage.search import OrderFilter, OrderSummary, Place, Time
from orderkeep.storage.store import OrderReader

LARGEST_PAGE = 500
LISTS = 16
"""Lists that a process works on at a time: two connections answer them, the others wait."""
LIST_SECONDS = 5.0

_UID = r"(?!\.{1,2}$)[A-Za-z0-9._~:-]{1,128}"
_RECEIVED = r"[0-9]{1,17}\."
_CREATED = r"-?[0-9]{1,16}\."
_CURSOR = rf"^(?:(?:{_CREATED})?{_RECEIVED})?{_UID}$"
_CURSORS = {
    ("order_uid",): re.compile(rf"({_UID})"),
    ("received_at", "order_uid"): re.compile(rf"({_RECEIVED})({_UID})"),
    ("date_created", "received_at", "order_uid"): re.compile(rf"({_CREATED})({_RECEIVED})({_UID})"),
}
"""The place of the order that a page ended with: times in microseconds since 1970, and the uid."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PREFIX = r"^[A-Za-z0-9._~:-]{1,128}(?!\n)$"  # Python's `$` also matches before a final newline
_ANY_TEXT = r"^[^\u0000]*$"  # what PostgreSQL takes

UidPrefix = Annotated[
    str | None,
    Parameter(
        pattern=_PREFIX,
        description="Only uids that begin so; sorted by uid.",
        examples=[Example(value="b563")],
    ),
]
TrackNumber = Annotated[
    str | None,
    Parameter(
        max_length=256,
        pattern=_ANY_TEXT,
        description="Only of this track number.",
        examples=[Example(value="WBILMTESTTRACK")],
    ),
]
CustomerId = Annotated[
    str | None,
    Parameter(
        max_length=256,
        pattern=_ANY_TEXT,
        description="Only of this customer.",
        examples=[Example(value="test")],
    ),
]
By = Annotated[
    Time,
    Parameter(description="The time that the list is sorted by, and that `since` and `until` are about."),
]
Limit = Annotated[int, Parameter(ge=1, le=LARGEST_PAGE, description="Orders of a page.")]
After = Annotated[
    str | None,
    Parameter(
        pattern=_CURSOR,
        description="`next` of the page before, of the same list.",
        examples=[Example(value="1795252482506386.b563feg7bdg3286ttjr67siej")],
    ),
]


class OrderPage(Struct, frozen=True):
    """Orders, the newest first or by uid; `next` continues the list when given as `after`."""

    orders: list[OrderSummary]
    next: str | None


_PAGE = ResponseSpec(
    OrderPage,
    generate_examples=False,
    description="A page, and in the `link` header the next one",
    examples=[Example(value=PAGE)],
)


def list_route(reader: OrderReader) -> HTTPRouteHandler:
    """The handler, bound to where lists are read from."""
    gate = Gate("lists of orders", LISTS, LIST_SECONDS)

    @get(
        "/orders",
        opt=needs("read", costs=True),
        operation_id="orders",
        summary="The newest orders: all, or of one customer, track number, time or beginning of a uid",
        description="At most one of `uid_prefix`, `track_number` and `customer_id`. A range of `received_at` "
        "goes with the last two; one of `date_created` (with `by`) with none of them.",
        tags=["orders"],
        responses={200: _PAGE, 400: WRONG, 503: UNAVAILABLE},
    )
    async def orders(
        uid_prefix: UidPrefix = None,
        track_number: TrackNumber = None,
        customer_id: CustomerId = None,
        since: Since = None,
        until: Until = None,
        by: By = "received_at",
        limit: Limit = 20,
        after: After = None,
    ) -> Response[OrderPage]:
        now = datetime.now(UTC)
        times = point_in_time("since", since, now), point_in_time("until", until, now)
        try:
            wanted = OrderFilter(uid_prefix, track_number, customer_id, *times, by)
        except ValueError as error:
            raise ValidationException(str(error)) from None
        place = _place(after, wanted) if after is not None else None
        async with gate.enter():
            page = await reader.page(limit, place, wanted)
        following = _cursor(wanted.place(page[-1])) if len(page) == limit else None
        headers = {"cache-control": "no-store"}
        if following:
            headers["link"] = _link(wanted, limit, following)
        return Response(OrderPage(page, following), headers=headers)

    return orders


def _cursor(place: Place) -> str:
    return ".".join(
        str((part - _EPOCH) // _MICROSECOND) if isinstance(part, datetime) else part for part in place
    )


def _place(cursor: str, wanted: OrderFilter) -> Place:
    found = _CURSORS[wanted.sorted_by].fullmatch(cursor)
    if found is None:
        raise ValidationException("after: it is not the `next` of a page of this list")
    *times, uid = found.groups()
    return (*(_EPOCH + int(time.rstrip(".")) * _MICROSECOND for time in times), uid)


def _link(wanted: OrderFilter, limit: int, following: str) -> str:
    """The next page; an age such as 1h is written as the time that it meant on this one."""
    given = {
        "uid_prefix": wanted.uid_prefix,
        "track_number": wanted.track_number,
        "customer_id": wanted.customer_id,
        "since": wanted.since and wanted.since.isoformat(),
        "until": wanted.until and wanted.until.isoformat(),
        "by": None if wanted.by == "received_at" else wanted.by,
        "limit": limit,
        "after": following,
    }
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return f'</orders?{query}>; rel="next"'
