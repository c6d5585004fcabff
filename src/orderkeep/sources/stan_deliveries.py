"""What a subscription of NATS Streaming has delivered: what waits, what is in flight, what is due.

No network here, and one event loop. The rules of positions are explained in docs/architecture.md.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from orderkeep.sources.retained import PARTITION
from orderkeep.sources.source import MAX_BYTES, MAX_MESSAGES, Fetched, Span
from orderkeep.stan_protocol import StanMessage
from orderkeep.storage.store import Message, SourceIdentity


class _HandedOut(NamedTuple):
    epoch: int
    positions: Sequence[int]


class Deliveries:
    """Of one channel, from connection to connection, as long as it is the same one.

    With `shared`, others of the queue get messages too, so that some positions are missing here.
    """

    def __init__(self, *, shared: bool) -> None:
        self.arrived = asyncio.Event()
        """Set while there is something for `take`."""
        self.due = asyncio.Event()
        """Set while acknowledgements are to be sent."""
        self.skipped = asyncio.Event()
        """Set when positions were passed over that nobody else can have got; what follows is dropped."""
        self._shared = shared
        self._source = SourceIdentity("", "", "")
        self._epoch = 0
        self._alone = True
        self._begun_at = self._floor = self._reached = self._next = 1
        self._end: int | None = None
        self._announced = True
        self._held_back = False
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._held: set[int] = set()
        self._handed_out: deque[_HandedOut] = deque()
        self._acknowledged: list[int] = []

    def begin(self, source: SourceIdentity, position: int, *, announce: bool) -> None:
        """A new epoch: all below `position` is committed. What was delivered before is forgotten.

        With `announce`, the database has not heard of the position yet.
        """
        self._source, self._epoch = source, self._epoch + 1
        self._alone = True
        self._begun_at = self._floor = self._reached = self._next = position
        self._end = None
        self._announced = not announce
        self._held_back = False
        self._waiting.clear()
        self._waiting_bytes = 0
        self._held.clear()
        self._acknowledged.clear()
        self.due.clear()
        self.resume()

    def resume(self) -> None:
        """Messages come over another subscription."""
        self.skipped.clear()
        self._note_arrival()

    def hold_back(self) -> None:
        """What comes is not to be taken before `release`, and then in the order of positions."""
        self._held_back = True
        self._note_arrival()

    def release(self) -> None:
        self._held_back = False
        self._waiting = deque(sorted(self._waiting, key=lambda message: message.position))
        self._note_arrival()

    def lowest_from(self, position: int, end: int) -> int:
        """The lowest position that waits or is in flight here, from one up to another; else the other."""
        return min((held for held in self._held if position <= held < end), default=end)

    @property
    def source(self) -> SourceIdentity:
        return self._source

    @property
    def next_position(self) -> int:
        """After the highest position that was delivered here, or where the epoch began."""
        return self._next

    @property
    def missing(self) -> int:
        """The first position that is neither here nor, as far as the database has told, committed."""
        return self._next if self._alone else self._floor

    @property
    def end(self) -> int:
        """Behind the last message of the channel that is known."""
        return self._end or 0

    @property
    def sharing(self) -> bool:
        """Whether others have, or may have, some of the positions above the floor."""
        return not self._alone

    @property
    def has_room(self) -> bool:
        """Whether less than a batch waits."""
        return len(self._waiting) < MAX_MESSAGES and self._waiting_bytes < MAX_BYTES

    @property
    def lag(self) -> int | None:
        """Positions between what is acknowledged, by all who share, and the end, once that is known."""
        return None if self._end is None else max(0, self._end - min(self._held, default=self.missing))

    @property
    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    @property
    def average_bytes(self) -> int:
        """Of the messages that wait."""
        return self._waiting_bytes // max(1, len(self._waiting))

    def holds(self, position: int) -> bool:
        """Whether it waits or is in flight here."""
        return position in self._held

    @property
    def idle(self) -> bool:
        """Whether nothing waits, and nothing is in flight."""
        return not self._held

    def receive(self, message: StanMessage) -> None:
        """What waits or is in flight is dropped when it comes again: the first copy counts.

        What we have stored since is acknowledged again.
        """
        position = message.sequence
        if position in self._held or self.skipped.is_set():
            return
        if self._alone and self._begun_at <= position < self._reached:
            self._acknowledged.append(position)
            self.due.set()
            return
        if position > self._next:
            if not self._shared:
                self.skipped.set()
                return
            self._alone = False
        self._next = max(self._next, position + 1)
        self.note_end(self._next)
        self._held.add(position)
        self._waiting.append(
            Message(PARTITION, position, message.data, timestamp_ms=message.timestamp // 1_000_000)
        )
        self._waiting_bytes += len(message.data)
        self._note_arrival()

    def note_end(self, end: int) -> None:
        """The channel reaches up to there, not included."""
        self._end = max(self.end, end)

    def note_floor(self, floor: int) -> None:
        """The database says that all below is committed, by whomever; it may have to be written down.

        With nothing in flight anywhere, positions follow from our own deliveries again.
        """
        if floor > self._floor:
            self._floor = floor
            self._announced = self._announced and self._alone
        if not self._held and floor >= self._next:
            self._alone = True
            self._reached = self._next = floor
        self._note_arrival()

    def take(self) -> Fetched | None:
        """A batch of what waits, or one without messages that tells of a position; None without either."""
        if not self.arrived.is_set():
            return None
        messages = self._take_waiting()
        self._announced = True
        self._handed_out.append(_HandedOut(self._epoch, [message.position for message in messages]))
        self._note_arrival()
        return Fetched(self._source, messages, {PARTITION: self._span(messages)}, shared=not self._alone)

    def acknowledge(self) -> None:
        """The oldest batch that was taken is committed; nothing of an earlier epoch is sent."""
        epoch, positions = self._handed_out.popleft()
        if epoch == self._epoch and positions:
            self._held.difference_update(positions)
            self._acknowledged += positions
            self.due.set()

    def take_acknowledged(self) -> list[int]:
        """Positions to acknowledge, each once."""
        taken, self._acknowledged = self._acknowledged, []
        self.due.clear()
        return taken

    def _take_waiting(self) -> list[Message]:
        taken: list[Message] = []
        size = 0
        while self._waiting and len(taken) < MAX_MESSAGES:
            length = len(self._waiting[0].payload or b"")
            if taken and size + length > MAX_BYTES:
                break
            taken.append(self._waiting.popleft())
            size += length
        self._waiting_bytes -= size
        return taken

    def _span(self, messages: Sequence[Message]) -> Span:
        """What may be claimed: alone, the end of what was delivered; sharing, only the database's floor."""
        first = self._reached
        if messages:
            self._reached = max(first, *(message.position + 1 for message in messages))
        if self._alone:
            return Span(first, self._reached, self._end, self._epoch)
        return Span(self._floor, self._floor, self._end, self._epoch)

    def _note_arrival(self) -> None:
        if (self._waiting or not self._announced) and not self._held_back:
            self.arrived.set()
        else:
            self.arrived.clear()
