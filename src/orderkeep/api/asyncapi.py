"""The description of what comes from the broker and what goes to it, in the form of AsyncAPI 3.0."""

from importlib.metadata import version
from typing import Any

import msgspec
from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler

from orderkeep.api.access import needs
from orderkeep.api.examples import DEAD_LETTER, ORDER
from orderkeep.order import Order
from orderkeep.sources.dead_letter_headers import DeadLetterHeaders


def description(source: str, orders: str, dead_letters: str | None) -> dict[str, Any]:
    """Of the topic or subject `orders` of the broker, and the topic of dead letters, if there is one.

    Servers are not named: their addresses may hold passwords, and are for who has to know them.
    """
    _, schemas = msgspec.json.schema_components(
        [Order, DeadLetterHeaders], ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Orderkeep",
            "version": version("orderkeep"),
            "description": "Orders come from a broker. What is no order, or another one under a uid that is "
            "taken, is kept aside, and sent to a topic of dead letters if there is one.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "orders": _channel("Where orders come from.", source, orders, "order"),
            "deadLetters": _channel(
                "Where copies of what was kept aside go, at least once each. Without an address, nowhere: "
                "see ORDERKEEP_KAFKA_DEAD_LETTER_TOPIC.",
                "kafka",
                dead_letters,
                "deadLetter",
            ),
        },
        "operations": {
            "takeOrders": _operation("receive", "orders", "order", "Store every order, and acknowledge it."),
            "sendDeadLetters": _operation(
                "send",
                "deadLetters",
                "deadLetter",
                "Send what was kept aside, before it is acknowledged to its topic.",
            ),
        },
        "components": {"schemas": schemas, "messages": {"order": _ORDER, "deadLetter": _DEAD_LETTER}},
    }


def asyncapi_route(document: dict[str, Any]) -> HTTPRouteHandler:
    """The handler, bound to the description."""

    @route(
        "/asyncapi.json",
        http_method=[HttpMethod.GET, HttpMethod.HEAD],
        opt=needs("read"),
        include_in_schema=False,
    )
    async def asyncapi() -> Response[dict[str, Any]]:
        return Response(document, headers={"cache-control": "no-cache"})

    return asyncapi


_ORDER = {
    "title": "An order",
    "summary": "One JSON document, in UTF-8. Further fields are allowed; neither key nor headers matter.",
    "payload": {"$ref": "#/components/schemas/Order"},
    "examples": [{"payload": ORDER}],
}
_DEAD_LETTER = {
    "title": "A message that was kept aside",
    "summary": "The message as it was: value, key and headers, and behind those what is said of it.",
    "contentType": "application/octet-stream",
    "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
    "payload": {"description": "Any bytes, or none for a tombstone."},
    "examples": [DEAD_LETTER],
}


def _channel(text: str, broker: str, address: str | None, message: str) -> dict[str, Any]:
    return {
        "address": address,
        "description": text,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        **({"bindings": {"kafka": {"topic": address}}} if broker == "kafka" and address else {}),
    }


def _operation(action: str, channel: str, message: str, text: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": text,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }
