"""The route of events: what is stored and what is rejected, as server-sent events."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

from litestar import Request, get
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, Parameter
from litestar.types import ASGIApp, Receive, Scope, Send

from orderkeep.api.access import grant_of, needs
from orderkeep.api.event_feed import Feed
from orderkeep.api.event_stream import EventStream
from orderkeep.api.event_text import bye, place_of
from orderkeep.api.examples import EVENTS
from orderkeep.api.keyring import Grant
from orderkeep.api.problems import UNAVAILABLE, WRONG
from orderkeep.api.protocol import ENDLESS
from orderkeep.storage.events import EventKind, EventPlace

MOST_A_SECOND = 1_000
NO_LONGER = "the key is in force no longer"

_MEDIA_TYPE = "text/event-stream"
_HEADERS: Final = [
    (b"content-type", _MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold back what it has not enough of
    (b"x-content-type-options", b"nosniff"),
]
_KINDS: Final[Sequence[EventKind]] = ("stored", "rejected")

Kinds = Annotated[
    Literal["stored", "rejected", "stored,rejected", "rejected,stored"],
    Parameter(description="Only events of these kinds.", examples=[Example(value="rejected")]),
]
Limit = Annotated[
    int,
    Parameter(
        ge=1,
        le=MOST_A_SECOND,
        description="Events a second, on the average: of more, the newest are sent, and the others counted.",
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="last-event-id",
        description="The id of the last event that was read: what came behind it is sent first.",
        examples=[Example(value="1795252482506386.stored.b563feg7bdg3286ttjr67siej")],
    ),
]


def event_route(feed: Feed) -> HTTPRouteHandler:
    """The handler, bound to the feed."""

    @get(
        ENDLESS,
        opt=needs("read", costs=True),
        operation_id="events",
        summary="What is stored and what is rejected, as it happens: server-sent events without an end",
        tags=["events"],
        media_type=_MEDIA_TYPE,
        responses={
            200: ResponseSpec(
                str,
                generate_examples=False,
                description="A stream of the events `stored`, `rejected`, `skipped` and, last, `bye`",
                media_type=_MEDIA_TYPE,
                examples=[Example(value=EVENTS)],
            ),
            400: WRONG,
            503: UNAVAILABLE,
        },
    )
    async def events(
        request: Request[Any, Any, Any],
        kinds: Kinds = "stored,rejected",
        limit: Limit = 50,
        last_event_id: LastEventId = None,
    ) -> ASGIApp:
        last = place_of(last_event_id) if last_event_id else None
        if last_event_id and last is None:
            raise ValidationException("last-event-id: it is not the id of an event")
        wanted = [kind for kind in _KINDS if kind in kinds.split(",")]
        return _answer(feed, last, wanted, limit, grant_of(request))

    return events


def _answer(
    feed: Feed, last: EventPlace | None, kinds: Sequence[EventKind], limit: int, grant: Grant | None
) -> ASGIApp:
    over = grant.over if grant else asyncio.Event()  # without keys nothing is ever over

    async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
        with feed.admit():
            stream = await feed.open(last, kinds, limit)
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _send_until_gone(stream, over, receive, send)
            last_words = bye(NO_LONGER) if over.is_set() else b""
            await send({"type": "http.response.body", "body": last_words, "more_body": False})

    return answer


async def _send_until_gone(stream: EventStream, over: asyncio.Event, receive: Receive, send: Send) -> None:
    """Until the stream ends, its client hangs up, or it is over because of the key."""
    sending = asyncio.create_task(_send(stream, send))
    others = [asyncio.create_task(_gone(receive)), asyncio.create_task(over.wait())]
    try:
        await asyncio.wait((sending, *others), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, *others):
            task.cancel()
        await asyncio.gather(sending, *others, return_exceptions=True)
    if not sending.cancelled():
        sending.result()


async def _send(stream: EventStream, send: Send) -> None:
    async with aclosing(stream.chunks()) as chunks:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Wait until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
