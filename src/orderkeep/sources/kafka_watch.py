"""How far the partitions of a Kafka topic go, and whether a broker answers: asked beside the consumer.

The consumer itself hears of an end only with what it fetches: nothing of a partition that has not been
fetched yet, and nothing while the database is away and fetching is paused.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from orderkeep.errors import BrokerUnavailable
from orderkeep.sources import kafka_client
from orderkeep.sources.assignment import Assignment
from orderkeep.sources.source import SourceStatus

LOOK_SECONDS = 5.0
PATIENCE_SECONDS = 5.0
"""For the answer to one look."""
_TURN_SECONDS = 0.5
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # its stubs give no return type


class KafkaWatch:
    """Asks in a thread of its own, from `start` to `stop`, for the ends of what the assignment holds."""

    def __init__(self, options: Mapping[str, Any], topic: str, assignment: Assignment) -> None:
        self._options = options
        self._topic = topic
        self._assignment = assignment
        self._ends: dict[int, int] = {}
        self._connected = True  # the topic was found a moment ago
        self._admin: AdminClient | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Never blocks; a question on its way is left to itself."""
        self._stopping.set()

    def status(self) -> SourceStatus:
        ends = self._ends
        lag = {
            partition: max(0, ends[partition] - position)
            for partition, position in self._assignment.unacknowledged().items()
            if partition in ends
        }
        return SourceStatus(self._connected, lag)

    def _run(self) -> None:
        looked_at = 0.0
        while not self._stopping.wait(_TURN_SECONDS):
            held = self._assignment.unacknowledged()
            # What is new here is looked at soon.
            if held.keys() - self._ends.keys() or time.monotonic() - looked_at >= LOOK_SECONDS:
                self._look(held)
                looked_at = time.monotonic()

    def _look(self, partitions: Iterable[int]) -> None:
        # A client that has lost its last broker never finds another: the next look is by a new one.
        self._admin = self._admin or kafka_client.make_admin(self._options)
        try:
            self._ends = self._ask(self._admin, list(partitions))
            self._connected = True
        except (BrokerUnavailable, KafkaException):
            self._connected, self._admin = False, None

    def _ask(self, admin: AdminClient, partitions: list[int]) -> dict[int, int]:
        """The ends of those that answer. Raises `BrokerUnavailable` when none does."""
        if not partitions:
            self._ask_for_topic(admin)
            return {}
        wanted = {TopicPartition(self._topic, partition): _LATEST for partition in partitions}
        found: dict[int, int] = {}
        for place, answer in admin.list_offsets(wanted, request_timeout=PATIENCE_SECONDS).items():
            with suppress(KafkaException):
                found[place.partition] = answer.result().offset
        if not found:
            self._ask_for_topic(admin)
        # Of a partition whose leader is away, what is known is what it was.
        return {**{part: end for part, end in self._ends.items() if part in partitions}, **found}

    def _ask_for_topic(self, admin: AdminClient) -> None:
        try:
            admin.list_topics(self._topic, timeout=PATIENCE_SECONDS)
        except KafkaException as error:
            raise BrokerUnavailable(str(error.args[0])) from None
