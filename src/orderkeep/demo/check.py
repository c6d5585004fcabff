"""What the demo proves at its end: each message has its outcome, each order is served as it was sent."""

import asyncio
import hashlib
import http.client
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from orderkeep.audit import AuditReport, TopicState, audit
from orderkeep.brokers import audited_topic
from orderkeep.settings import Settings

SETTLE_SECONDS = 60.0


def topic_state(settings: Settings) -> TopicState:
    """Where the partitions of the topic begin and end, and what the group has acknowledged. Blocks."""
    return audited_topic(settings).look()


async def settle(settings: Settings) -> TopicState:
    """Wait until ingest has acknowledged everything that is in the topic, or for `SETTLE_SECONDS`."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        state = await asyncio.to_thread(topic_state, settings)
        if all(state.committed.get(partition, 0) >= end for partition, end in state.end.items()):
            return state
        if time.monotonic() > deadline:
            return state
        await asyncio.sleep(0.1)


async def audit_run(settings: Settings, since: Mapping[int, int], until: Mapping[int, int]) -> AuditReport:
    """The audit of what this run has published."""
    return await audit(audited_topic(settings), database_url=settings.read_url, since=since, until=until)


def read_back(url: str, digests: Mapping[str, bytes]) -> int:
    """GET every order and count those that are not served byte for byte. Blocks; about 3,000 a second."""
    host = urlsplit(url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=10)
    wrong = 0
    for uid, digest in digests.items():
        try:
            connection.request("GET", f"/orders/{uid}")
            answer = connection.getresponse()
            body = answer.read()
            wrong += answer.status != http.HTTPStatus.OK or hashlib.sha256(body).digest() != digest
        except (OSError, http.client.HTTPException):
            connection.close()
            wrong += 1
    connection.close()
    return wrong
