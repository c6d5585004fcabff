"""What a pipeline meets, as a test moves it: processes of one group, a topic, a database, a loop by hand."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count

from orderkeep.errors import BrokerUnavailable
from orderkeep.ingest.pipeline import Pipeline
from orderkeep.sources.source import Fetched
from orderkeep.storage.store import Batch, Outcome, Refused, SourceIdentity
from tests.fuzz.faulty_broker import Member, Topic
from tests.fuzz.faulty_store import Call, Database, End, FaultyWriter, History, Place
from tests.fuzz.stepped_loop import SteppedLoop
from tests.orders import order

GROUP = "group"
PARTITIONS = 2
WRITERS = 3


class Quiet:
    """An `Observer` that is not interested."""

    def fetched(self, fetched: Fetched) -> None: ...

    def refused(self, refused: Sequence[Refused]) -> None: ...

    def acknowledged(self, fetched: Fetched) -> None: ...

    def committed(self, fetched: Fetched, outcomes: Mapping[Outcome, int], seconds: float) -> None: ...

    def retried(self, error: Exception, seconds: float) -> None: ...


class FaultyDeadLetters:
    """A `DeadLetters` over calls that wait in `pending`; `arrived` are the places of what was delivered."""

    def __init__(self, arrived: set[Place], pending: list[Call]) -> None:
        self._arrived = arrived
        self._pending = pending

    async def deliver(self, source: SourceIdentity, refused: Sequence[Refused]) -> None:
        call = Call(None, 0, asyncio.get_running_loop().create_future())
        self._pending.append(call)
        try:
            end = await call.ends
        finally:
            self._pending.remove(call)
        if end in {End.DONE, End.COMMITTED_UNHEARD, End.LATE}:
            self._arrived.update((source, one.message.partition, one.message.position) for one in refused)
        if end is not End.DONE:
            raise BrokerUnavailable("away")


class Process:
    """One ingest process: a pipeline, its place in the group, its connections."""

    def __init__(self, scene: "Scene") -> None:
        self.member = Member(
            scene.topic, scene.check_acknowledged, unless_acknowledged=scene.sends_dead_letters
        )
        self.calls: list[Call] = []
        database, history = scene.database, History(scene.database)
        writers = [FaultyWriter(database, history, self.calls, scene.check_write) for _ in range(WRITERS)]
        self.stopping = asyncio.Event()
        self.began_in = database.life
        self.told_to_fail = False
        dead_letters = FaultyDeadLetters(scene.dead_letters, self.calls) if scene.sends_dead_letters else None
        pipeline = Pipeline(self.member, writers, GROUP, Quiet(), dead_letters=dead_letters)
        self.work = scene.loop.start(pipeline.run(self.stopping, deadline=20))


class Scene:
    """One topic, at times made again, one database, and the processes of one group."""

    def __init__(self) -> None:
        self.loop = SteppedLoop()  # type: ignore[abstract] # it has what is called
        self.database = Database()
        self.topic = Topic(PARTITIONS)
        self.topics = {self.topic.source: self.topic}
        self.processes: list[Process] = []
        self.uids: dict[Place, str | None] = {}
        """Of every message that was published; None when it is no order."""
        self.payload_at: dict[Place, bytes | None] = {}
        self.payloads: list[bytes] = []
        self.sends_dead_letters = False
        self.dead_letters: set[Place] = set()
        self._numbers = count(1)
        self._turn = 0

    def check_acknowledged(self, member: Member, fetched: Fetched) -> None:
        """Called when a pipeline acknowledges, before it counts."""

    def check_write(self, batch: Batch) -> None:
        """Called when a batch is committed."""

    def start_process(self) -> None:
        self.processes.append(Process(self))
        self.loop.run_ready()

    def go_on(self) -> None:
        """No faults, but that every other commit is lost on the way to the broker."""
        self._turn += 1
        if not any(process.member.opened for process in self.processes) and not any(
            process.stopping.is_set() for process in self.processes
        ):
            self.start_process()
        self.assign_free()
        for process in self.processes:
            process.member.read(3)
            process.member.commit(arrives=self._turn % 2 == 0)
        self.loop.run_ready()
        for call in self.calls():
            call.ends.set_result(End.DONE)
        self.loop.run_ready()
        if not self.calls():
            self.loop.advance()

    def publish(self, payload: bytes | None, partition: int, hole: int) -> None:
        message = self.topic.publish(payload, partition, hole)
        uid = None
        if payload not in {None, b"", b"garbage"}:
            assert payload is not None
            self.payloads.append(payload)
            uid = payload.split(b'"order_uid": "')[1].split(b'"')[0].decode()
        place = (self.topic.source, partition, message.position)
        self.uids[place], self.payload_at[place] = uid, payload

    def new_order(self, prefix: str) -> bytes:
        return order(f"{prefix}-{next(self._numbers)}")

    def has_outcome(self, place: Place) -> bool:
        return self.database.has_outcome(place, self.payload_at[place], self.uids[place])

    def choose(self, which: int) -> Process | None:
        opened = [process for process in self.processes if process.member.opened]
        return opened[which % len(opened)] if opened else None

    def calls(self) -> list[Call]:
        return [call for process in self.processes for call in process.calls if not call.ends.done()]

    def read_all(self, limit: int) -> None:
        for process in self.processes:
            process.member.read(limit)
        self.loop.run_ready()

    def assign_free(self) -> None:
        """As the broker's coordinator does."""
        if not any(process.member.joining for process in self.processes):
            self.assign(set(range(PARTITIONS)), 0)

    def assign(self, given: set[int], which: int) -> None:
        if process := self.choose(which):
            free = {
                partition
                for partition in given
                if not any(other.member.holds(partition) for other in self.processes)
            }
            if free and not process.member.joining:
                process.member.assign(free, self.loop)
                self.loop.run_ready()
