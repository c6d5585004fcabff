"""What is asked of JetStream: in its own words, so that what nats-py does not know is seen as well."""

import json
import time
from datetime import datetime
from typing import Any

from orderkeep.errors import BrokerUnavailable, Fatal
from orderkeep.nats_connection import Connection, connect, translated
from orderkeep.settings import Settings

from .jetstream import JetStream

ANSWER_SECONDS = 5.0
_NOT_FOUND = 404


async def look(settings: Settings) -> JetStream:
    """Raises `Transient` or `Fatal`."""
    connection = await connect(settings.nats_url, "orderkeep doctor")
    try:
        with translated(connection, settings.nats_url):
            account = await _ask(connection, "INFO") or {}
            stream = await _ask(connection, f"STREAM.INFO.{settings.nats_stream}")
            told_at = time.time()
            name = f"{settings.nats_stream}.{settings.nats_durable}"
            consumer = await _ask(connection, f"CONSUMER.INFO.{name}")
        told = (stream or {}).get("ts")
        version = connection.connected_server_version
        return JetStream(
            version=f"{version.major}.{version.minor}.{version.patch}",
            account=account,
            stream=stream,
            consumer=consumer,
            clock_ahead=_seconds(told) - told_at if told else None,
        )
    finally:
        await connection.end()


async def _ask(connection: Connection, what: str) -> dict[str, Any] | None:
    """One answer of JetStream's API, None when it is not there. Raises nats-py's errors, or `Fatal`."""
    answer = json.loads((await connection.request(f"$JS.API.{what}", b"", timeout=ANSWER_SECONDS)).data)
    refusal = answer.get("error")
    if refusal is None:
        return dict(answer)
    if refusal["code"] == _NOT_FOUND:
        return None
    if refusal["code"] >= 500:
        raise BrokerUnavailable(f"JetStream cannot serve now: {refusal['description']}")
    raise Fatal(f"JetStream refuses: {refusal['description']}")


def _seconds(text: str) -> float:
    """Go's RFC 3339 has up to nine digits of a second; datetime takes six."""
    whole, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{rest or 0}")
