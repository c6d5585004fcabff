"""Apache Kafka as a source: what the pipeline sees of the consumer that reads in a thread of its own."""

import asyncio
from collections.abc import Mapping
from typing import Any

from orderkeep.errors import OrderkeepError
from orderkeep.sources import kafka_client
from orderkeep.sources.kafka_reader import Item, KafkaReader
from orderkeep.sources.kafka_watch import KafkaWatch
from orderkeep.sources.source import AcceptGap, Fetched, Resume, SourceStatus

CLOSE_SECONDS = 5.0
"""With the broker gone librdkafka waits a minute for a commit on its way: the thread is left to itself."""
_LEAVING_SECONDS = 0.01


class KafkaSource:
    """A `Source` over one topic, as a member of a consumer group; `options` are librdkafka's properties.

    With `unless_acknowledged`, a partition in which the group has acknowledged nothing begins at its
    beginning, even if the database has its messages: something else may still wait to be done with them.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        group: str,
        options: Mapping[str, Any],
        *,
        unless_acknowledged: bool = False,
    ) -> None:
        self._brokers = brokers
        self._topic = topic
        self._options = kafka_client.consumer_options(brokers, group, options)
        self._unless_acknowledged = unless_acknowledged
        self._queue: asyncio.Queue[Item] = asyncio.Queue(maxsize=1)
        self._reader: KafkaReader | None = None
        self._watch: KafkaWatch | None = None

    async def open(self, resume: Resume, accept_gap: AcceptGap | None = None) -> None:
        admin = kafka_client.make_admin(self._options)
        source = await kafka_client.find_topic(admin, self._topic, self._brokers)
        self._reader = KafkaReader(
            self._options,
            source,
            resume,
            accept_gap,
            self._queue,
            unless_acknowledged=self._unless_acknowledged,
        )
        self._watch = KafkaWatch(self._options, self._topic, self._reader.assignment)
        self._reader.start()
        self._watch.start()

    async def fetch(self) -> Fetched | None:
        item = await self._queue.get()
        if isinstance(item, OrderkeepError):
            raise item
        return item

    def acknowledge(self, fetched: Fetched) -> None:
        if self._reader is not None:
            self._reader.assignment.acknowledge(fetched.spans)

    def status(self) -> SourceStatus:
        return self._watch.status() if self._watch else SourceStatus(connected=False, lag={})

    def stop(self) -> None:
        if self._reader is not None:
            self._reader.stop()

    async def close(self) -> None:
        if self._reader is None:
            return
        if self._watch is not None:
            self._watch.stop()
        self._reader.leave()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLOSE_SECONDS
        while self._reader.running and loop.time() < deadline:
            if not self._queue.empty():
                self._queue.get_nowait()  # fetched and never stored: it will be delivered again
            await asyncio.sleep(_LEAVING_SECONDS)
