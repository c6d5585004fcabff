"""The thread of the Kafka source: it alone touches the client, and hands batches over a bounded queue.

While the queue is full it goes on polling, so that the group keeps it. It never waits for the database
without polling, except in a rebalance, which waits with it.
"""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import structlog

from orderkeep.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    Fatal,
    OrderkeepError,
    ServerUnavailable,
    Transient,
)
from orderkeep.sources import kafka_client
from orderkeep.sources.assignment import Assignment
from orderkeep.sources.complaints import Complaints
from orderkeep.sources.kafka_beginning import TopicMadeAgain
from orderkeep.sources.kafka_member import POLL_SECONDS, KafkaMember
from orderkeep.sources.source import AcceptGap, Fetched, Resume
from orderkeep.storage.store import Gap, SourceIdentity

PATIENCE_SECONDS = 1.0  # for a full queue, before fetching pauses: a pause throws the prefetched away
RECONNECT_SECONDS = 1.0
DATABASE_SECONDS = 60.0
"""What a rebalance waits for the database, before this member leaves and the others get its partitions; a
member that does not poll for five minutes is put out (max.poll.interval.ms)."""

Answer = TypeVar("Answer")
Item = Fetched | OrderkeepError | None

log = structlog.get_logger()


class KafkaReader:
    """Reads one topic as a member of a group, in a thread, into `queue`; see `orderkeep.sources.kafka`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        source: SourceIdentity,
        resume: Resume,
        accept_gap: AcceptGap | None,
        queue: "asyncio.Queue[Item]",
        *,
        unless_acknowledged: bool = False,
    ) -> None:
        self._options = dict(options)
        self._source = source
        self._resume = resume
        self._accept_gap = accept_gap
        self.unless_acknowledged = unless_acknowledged
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka", daemon=True)
        self._complaints = Complaints()
        self.assignment = Assignment()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Fetch nothing more; what was fetched is handed over, then None."""
        self._stopping.set()

    def leave(self) -> None:
        """Commit what is acknowledged and end the thread; `running` tells when that is done."""
        self._stopping.set()
        self._leaving.set()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def positions(self, source: SourceIdentity) -> Mapping[int, int]:
        """Of the database; see `orderkeep.sources.kafka_beginning.Database`."""
        return self._ask_loop(self._resume(source))

    @property
    def accepts_gaps(self) -> bool:
        return self._accept_gap is not None

    def record_gap(self, source: SourceIdentity, gap: Gap) -> None:
        if self._accept_gap is not None:
            self._ask_loop(self._accept_gap(source, gap))

    def _run(self) -> None:
        end: OrderkeepError | None = None
        try:
            while not self._stopping.is_set():
                try:
                    self._take_part()
                except TopicMadeAgain:
                    log.warning("topic_made_again", topic=self._source.topic)
                except Transient as error:
                    log.warning("group_left", error=str(error))
                    self._leaving.wait(RECONNECT_SECONDS)
                self._find_topic()
        except OrderkeepError as error:
            end = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the pipeline must hear of it
            end = Fatal(f"the Kafka source failed: {error!r}")
        self._hand_to_loop(end)

    def _take_part(self) -> None:
        """Be a member of the group until told to stop. Raises what ends the membership before that."""
        member = KafkaMember(self._options, self._source, self.assignment, self, self._complaints)
        try:
            while not self._stopping.is_set():
                for batch in member.next_batches():
                    self._hand_over(member, batch)
                member.commit()
                member.check()
            self._hand_to_loop(None)
            self._leaving.wait()
        except Transient:
            member.abandon()
            raise
        except BaseException:
            member.leave()
            raise
        member.leave()

    def _hand_over(self, member: KafkaMember, batch: Fetched) -> None:
        """Give the batch to the loop; while it takes none, keep polling with fetching paused."""
        self.assignment.hand_out(batch.spans)
        handed = asyncio.run_coroutine_threadsafe(self._queue.put(batch), self._loop)
        try:
            handed.result(PATIENCE_SECONDS)
        except TimeoutError:
            member.pause()
            while not handed.done() and not self._leaving.is_set():
                member.poll_paused()
                member.commit()
            member.resume()

    def _hand_to_loop(self, item: Item) -> None:
        if self._leaving.is_set():
            return  # nobody listens any more, and the loop may be closed
        asyncio.run_coroutine_threadsafe(self._queue.put(item), self._loop)

    def _ask_loop(self, question: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for the loop's answer, which comes from the database, at most `DATABASE_SECONDS`."""
        asked = asyncio.run_coroutine_threadsafe(question, self._loop)
        for _ in range(round(DATABASE_SECONDS / POLL_SECONDS)):
            if self._leaving.is_set():
                break
            try:
                return asked.result(POLL_SECONDS)
            except TimeoutError:
                if asked.done():
                    raise
        asked.cancel()
        raise DatabaseUnavailable("the database did not say where to begin")

    def _find_topic(self) -> None:
        """Wait until the brokers name the topic, before it is read again.

        Each time by a new client: one that has lost its last broker never finds another.
        """
        while not self._stopping.is_set():
            try:
                self._source = kafka_client.identify(
                    kafka_client.make_admin(self._options), self._source.topic
                )
            except (BrokerUnavailable, ServerUnavailable) as error:
                self._complaints.note(error)
                self._leaving.wait(RECONNECT_SECONDS)
            else:
                return
