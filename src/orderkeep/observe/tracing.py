"""Spans of what others trace: messages and requests that carry a `traceparent` (W3C Trace Context).

Nothing is traced that nobody asked to trace. No span has a payload, nor anything of an order.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from orderkeep.sources.source import Fetched
from orderkeep.storage.store import Outcome

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"

Carrier = dict[str, str]
"""The headers of a message or a request that say to which trace it belongs."""
EndRequest = Callable[[str, int], None]
"""Ends the span of a request: its route, and the status of the answer."""


class Traces(Protocol):
    """Where spans go. No call blocks or raises because of that."""

    def batch(
        self,
        fetched: Fetched,
        outcomes: Mapping[Outcome, int],
        carriers: Sequence[tuple[int, Carrier]],
        began: float,
    ) -> None:
        """A batch was committed this moment that `began` at this time, in seconds since 1970.

        `carriers` are those of its messages, by their index, of which at least one has one.
        """

    def request(self, carrier: Carrier, method: str) -> EndRequest:
        """A request has begun; call what it gives once the answer begins."""


def trace_batch(traces: Traces, fetched: Fetched, outcomes: Mapping[Outcome, int], seconds: float) -> None:
    """Tell of a batch whose writing took so long, if any of its messages is traced."""
    carriers = [
        (number, carrier)
        for number, message in enumerate(fetched.messages)
        if message.headers and (carrier := carrier_of(message.headers))
    ]
    if carriers:
        traces.batch(fetched, outcomes, carriers, time.time() - seconds)


def carrier_of(headers: Iterable[tuple[bytes, bytes | None]]) -> Carrier:
    """What of the headers says to which trace something belongs; empty when it belongs to none."""
    found = {name: value for name, value in headers if name in (TRACEPARENT, TRACESTATE) and value}
    if TRACEPARENT not in found:
        return {}
    return {name.decode(): value.decode("latin-1") for name, value in found.items()}


class Traced:
    """ASGI middleware: a span for each request that is traced, until its answer begins."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        carrier = carrier_of(scope["headers"]) if scope["type"] == ScopeType.HTTP else {}
        if not carrier:
            await self._app(scope, receive, send)
            return
        end = self._traces.request(carrier, str(scope.get("method")))

        async def ending(message: Message) -> None:
            if message["type"] == "http.response.start":
                end(str(scope.get("path_template") or ""), message["status"])
            await send(message)

        await self._app(scope, receive, ending)


def traced(app: ASGIApp, traces: Traces | None) -> ASGIApp:
    """The application, with spans where there are `traces`."""
    return app if traces is None else Traced(app, traces)
