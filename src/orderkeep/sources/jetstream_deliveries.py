"""What a JetStream consumer has delivered to this process: what waits, what is in flight, what is due.

No network here, and one event loop. The rules of positions are explained in docs/architecture.md.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from nats.aio.msg import Msg

from orderkeep.nats_connection import headers_of
from orderkeep.sources.retained import PARTITION
from orderkeep.sources.source import MAX_BYTES, MAX_MESSAGES, Fetched, Span
from orderkeep.storage.store import Message, SourceIdentity

_TOKENS = 9
"""Of a reply subject without a domain."""


class Delivery(NamedTuple):
    """A message with the number of its delivery, and how many are left behind it."""

    message: Message
    reply: str
    number: int
    left: int


class _HandedOut(NamedTuple):
    epoch: int
    positions: Sequence[int]


def read_delivery(received: Msg) -> Delivery:
    """Everything the server says of a delivery is in its reply subject:

    $JS.ACK.<stream>.<consumer>.<times>.<position>.<number>.<nanoseconds>.<left>, the stream preceded by
    domain and account, and the whole followed by a token, where there is a domain.
    """
    tokens = received.reply.split(".")
    at = 5 if len(tokens) == _TOKENS else 7
    position, number, nanoseconds, left = map(int, tokens[at : at + 4])
    message = Message(
        PARTITION,
        position,
        received.data,
        headers=tuple(headers_of(received)),
        timestamp_ms=nanoseconds // 1_000_000,
    )
    return Delivery(message, received.reply, number, left)


class Deliveries:
    """Of one durable, from connection to connection, as long as stream and consumer stay the same."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        """Set while there is something for `take`."""
        self.due = asyncio.Event()
        """Set while acknowledgements are to be sent."""
        self.taken = asyncio.Event()
        """Set when something was taken."""
        self.holed = asyncio.Event()
        """Set while positions are missing before what waits, and nobody has said why."""
        self.last_number = 0
        """Of the deliveries of this epoch."""
        self._source = SourceIdentity("", "", "")
        self._epoch = 0
        self._alone = False
        self._reached = self._floor = self._received = 1
        self._hole: int | None = None
        self._end: int | None = None
        self._announced = True
        self._waiting: deque[Delivery] = deque()
        self._waiting_bytes = 0
        self._replies: dict[int, str] = {}
        self._handed_out: deque[_HandedOut] = deque()
        self._acknowledged: list[str] = []

    def begin(
        self, source: SourceIdentity, position: int, number: int, *, alone: bool, announce: bool
    ) -> None:
        """A new epoch: all below `position` is committed, and `number` deliveries were made before.

        `alone` says that every one of those is committed, so that positions follow from our own deliveries
        until another process is seen to get some. What was delivered before is forgotten: it comes again.
        With `announce`, the database has not heard of the position yet.
        """
        self._source, self._epoch = source, self._epoch + 1
        self._alone, self.last_number = alone, number
        self._reached = self._floor = self._received = position
        self.pass_hole()
        self._end = None
        self._announced = not announce
        self._waiting.clear()
        self._waiting_bytes = 0
        self._replies.clear()
        self._acknowledged.clear()
        self.due.clear()
        self._note_arrival()

    @property
    def alone(self) -> bool:
        """Whether all deliveries of this epoch came to this process."""
        return self._alone

    @property
    def next_position(self) -> int:
        """After the highest position that was delivered here, or where the epoch began."""
        return self._received

    @property
    def hole(self) -> int | None:
        """The first missing position, while `holed` is set."""
        return self._hole

    @property
    def has_room(self) -> bool:
        """Whether less than a batch waits, so that more may be asked for."""
        return len(self._waiting) < MAX_MESSAGES and self._waiting_bytes < MAX_BYTES

    @property
    def lag(self) -> int | None:
        """Positions between what all of us have acknowledged and the end, once that is known."""
        if self._end is None:
            return None
        done = min(self._replies, default=self._received) if self._alone else self._floor
        return max(self._end, self._received) - done

    @property
    def unacknowledged(self) -> list[str]:
        """The reply subjects of everything delivered and not acknowledged, waiting or in flight."""
        return list(self._replies.values())

    def receive(self, delivery: Delivery) -> None:
        """A redelivery of what waits or is in flight is dropped, and acknowledged in place of the first."""
        if delivery.number != self.last_number + 1:
            self._alone = False
        self.last_number = max(self.last_number, delivery.number)
        message = delivery.message
        if self._alone and self._hole is None and message.position > self._received:
            self._hole = self._received
            self.holed.set()
        self._received = max(self._received, message.position + 1)
        known = message.position in self._replies
        self._replies[message.position] = delivery.reply  # of the consumer that there is now
        if known:
            return
        self._waiting.append(delivery)
        self._waiting_bytes += len(message.payload or b"")
        self._note_arrival()

    def note_floor(self, floor: int, deliveries: int, *, at_rest: bool) -> None:
        """The server says that all below `floor` is acknowledged, after so many deliveries.

        The database hears of it when nothing else is to be told. `at_rest`: of all of us, nobody has anything
        in flight; then positions follow from our own deliveries again.
        """
        if floor > self._floor:
            self._floor = floor
            self._announced = self._announced and self._alone
        if at_rest and not self._alone and not self._replies and self.last_number <= deliveries:
            self._alone, self.last_number = True, deliveries
            self._reached = self._received = floor
        self._note_arrival()

    def note_end(self, end: int) -> None:
        """The stream reaches up to there, not included."""
        self._end = end

    def pass_hole(self) -> None:
        """What is missing is no message, or was not deleted: what comes after it may be taken."""
        self._hole = None
        self.holed.clear()
        self._note_arrival()

    def take(self) -> Fetched | None:
        """A batch of what waits, or one without messages that tells of a position; None without either.

        It ends before a hole that nobody has explained.
        """
        deliveries = self._take_waiting()
        if not deliveries and self._announced:
            return None
        span = self._span(deliveries)
        self._announced = True
        positions = [delivery.message.position for delivery in deliveries]
        self._handed_out.append(_HandedOut(self._epoch, positions))
        self._note_arrival()
        self.taken.set()
        return Fetched(self._source, [delivery.message for delivery in deliveries], {PARTITION: span})

    def acknowledge(self) -> None:
        """The oldest batch that was taken is committed; nothing of an earlier epoch is sent."""
        epoch, positions = self._handed_out.popleft()
        if epoch == self._epoch and positions:
            self._acknowledged += [self._replies.pop(position) for position in positions]
            self.due.set()

    def take_acknowledged(self) -> list[str]:
        """Reply subjects to acknowledge, each once."""
        taken, self._acknowledged = self._acknowledged, []
        self.due.clear()
        return taken

    def settled(self) -> bool:
        """Whether all that may be taken was taken, and is acknowledged."""
        return not self._handed_out and not self._has_next()

    def _take_waiting(self) -> list[Delivery]:
        taken: list[Delivery] = []
        size = 0
        while self._has_next() and len(taken) < MAX_MESSAGES:
            length = len(self._waiting[0].message.payload or b"")
            if taken and size + length > MAX_BYTES:
                break
            taken.append(self._waiting.popleft())
            size += length
        self._waiting_bytes -= size
        return taken

    def _span(self, deliveries: Sequence[Delivery]) -> Span:
        """What may be claimed: alone, the end of what was delivered; sharing, only the server's floor."""
        first = self._reached
        if deliveries:
            last = max(deliveries, key=lambda delivery: delivery.message.position)
            self._end = last.message.position + last.left + 1
            self._reached = max(first, last.message.position + 1)
        if self._alone:
            return Span(first, self._reached, self._end, self._epoch)
        return Span(self._floor, self._floor, self._end, self._epoch)

    def _has_next(self) -> bool:
        return bool(self._waiting) and (self._hole is None or self._waiting[0].message.position < self._hole)

    def _note_arrival(self) -> None:
        if self._has_next() or not self._announced:
            self.arrived.set()
        else:
            self.arrived.clear()
