"""The pipeline under random faults at every await, against what a person would expect of it.

Hypothesis chooses what happens next: a message, a call to the database that ends well, badly or unheard, a
rebalance, a lost commit, a crash, a restored copy of the database, time. The loop is turned by hand, so each
run is the same. `ORDERKEEP_TEST_FUZZ=long` tries a hundred times as many.
"""

import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orderkeep.errors import DatabaseWentBack, Fatal
from orderkeep.ingest.pipeline import UNSETTLED_A_WRITER
from orderkeep.sources.source import Fetched
from orderkeep.storage.store import Batch, SourceIdentity
from tests.fuzz.faulty_broker import Member, Topic
from tests.fuzz.faulty_store import POISON, End, Place
from tests.fuzz.pipeline_scene import GROUP, PARTITIONS, WRITERS, Process, Scene

PROCESSES = 2
LONG = os.environ.get("ORDERKEEP_TEST_FUZZ") == "long"
EXAMPLES = 120
STEPS = 60

any_one = st.integers(0, 30)
partitions = st.integers(0, PARTITIONS - 1)


class PipelineMachine(Scene, RuleBasedStateMachine):
    """What happens to the pipeline, and what has to be true after each step."""

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Scene.__init__(self)
        self.had_outcome: set[Place] = set()
        """Before the database was put back."""

    # What the world does.

    @initialize(sends=st.booleans())
    def begin(self, *, sends: bool) -> None:
        self.sends_dead_letters = sends
        self.start()

    @rule(partition=partitions, holes=st.lists(st.sampled_from([0, 0, 0, 2]), min_size=1, max_size=8))
    def publish_orders(self, partition: int, holes: list[int]) -> None:
        for hole in holes:
            self.publish(self.new_order("uid"), partition, hole)

    @rule(partition=partitions, which=any_one, hole=st.sampled_from([0, 1]))
    def publish_again(self, partition: int, which: int, hole: int) -> None:
        if self.payloads:
            self.publish(self.payloads[which % len(self.payloads)], partition, hole)

    @rule(partition=partitions, which=any_one)
    def publish_conflict(self, partition: int, which: int) -> None:
        if self.payloads:
            self.publish(self.payloads[which % len(self.payloads)] + b" ", partition, 0)

    @rule(partition=partitions)
    def publish_poison(self, partition: int) -> None:
        self.publish(self.new_order(POISON), partition, 0)

    @rule(partition=partitions, payload=st.sampled_from([None, b"", b"garbage"]))
    def publish_garbage(self, partition: int, payload: bytes | None) -> None:
        self.publish(payload, partition, 0)

    @rule(which=any_one, limit=st.integers(1, 4))
    def read(self, which: int, limit: int) -> None:
        if process := self.choose(which):
            process.member.read(limit)
            self.loop.run_ready()

    @rule(which=any_one, end=st.sampled_from(End))
    def end_call(self, which: int, end: End) -> None:
        if calls := self.calls():
            calls[which % len(calls)].ends.set_result(end)
            self.loop.run_ready()

    @rule(order=st.lists(any_one, min_size=1, max_size=6), limit=st.integers(1, 4), ahead=st.integers(1, 3))
    def work(self, order: list[int], limit: int, ahead: int) -> None:
        """Go on without a fault; calls end in any order."""
        for which in order:
            self.assign_free()
            for _ in range(ahead):
                self.read_all(limit)
            self.end_call(which, End.DONE)

    @rule(partition=partitions, limit=st.integers(1, 3))
    def work_beside(self, partition: int, limit: int) -> None:
        """Go on while the oldest call hangs."""
        for _ in range(12):
            self.publish(self.new_order("uid"), partition, 0)
            self.read_all(limit)
            for call in self.calls()[1:]:
                call.ends.set_result(End.DONE)
            self.loop.run_ready()

    @rule()
    def quiet(self) -> None:
        """Nothing fails for a while."""
        for _ in range(12):
            self.go_on()

    @rule()
    def wait(self) -> None:
        self.loop.advance()

    @precondition(lambda self: self.database.late)
    @rule()
    def land_late(self) -> None:
        self.loop.start(self.database.land_late())
        self.loop.run_ready()

    @rule(which=any_one, arrives=st.booleans())
    def commit(self, which: int, arrives: bool) -> None:
        if process := self.choose(which):
            process.member.commit(arrives=arrives)

    @rule(taken=st.sets(partitions, min_size=1), which=any_one, commits=st.booleans())
    def rebalance(self, taken: set[int], which: int, commits: bool) -> None:
        """Partitions are revoked, or lost, and given to another process."""
        for process in self.processes:
            held = {partition for partition in taken if process.member.holds(partition)}
            if held or process.member.joining:
                if commits:
                    process.member.commit(arrives=True)
                process.member.revoke(held)
        self.assign(taken, which)

    @precondition(lambda self: len(self.processes) < PROCESSES)
    @rule(quiet=st.booleans())
    def start(self, *, quiet: bool = False) -> None:
        self.start_process()
        if quiet:
            self.quiet()

    @precondition(lambda self: self.processes)
    @rule(which=any_one)
    def stop(self, which: int) -> None:
        self.processes[which % len(self.processes)].stopping.set()
        self.loop.run_ready()

    @precondition(lambda self: self.processes)
    @rule(which=any_one, commits=st.sets(st.integers(0, WRITERS)))
    def crash(self, which: int, commits: set[int]) -> None:
        """The process is gone; of its transactions under way, some will still be committed."""
        process = self.processes.pop(which % len(self.processes))
        for number, call in enumerate(process.calls):
            if number in commits and call.life == self.database.life:
                self.database.end_late(call.write)
        process.member.leave()
        process.work.cancel()
        self.loop.run_ready()

    @rule(which=any_one)
    def fail_for_good(self, which: int) -> None:
        if process := self.choose(which):
            process.told_to_fail = True
            process.member.fail(Fatal("no permission"))
            self.loop.run_ready()

    @rule(ago=st.sampled_from([1, 1, 1, 2, 3, 8, 100]))
    def restore_database(self, ago: int) -> None:
        """The database is as it was some transactions ago."""
        self.had_outcome |= {place for place in self.uids if self.has_outcome(place)}
        self.database.restore(ago)

    @rule(which=any_one)
    def make_topic_again(self, which: int) -> None:
        self.topic = Topic(PARTITIONS)
        self.topics[self.topic.source] = self.topic
        for process in self.processes:
            process.member.follow(self.topic)
        self.assign(set(range(PARTITIONS)), which)

    # What has to be true.

    @invariant()
    def one_row_at_most(self) -> None:
        """A message makes one row, of its own bytes, however often it is delivered."""
        for place in self.uids:
            assert self.database.rows_of(place) <= 1

    @invariant()
    def progress_is_true(self) -> None:
        for (source, partition), position in self.database.positions(GROUP).items():
            for message in self.topics[source].partitions[partition]:
                if message.position < position:
                    place = (source, partition, message.position)
                    assert self.has_outcome(place), f"progress says {position}, without {message.position}"

    @invariant()
    def acknowledged_is_committed(self) -> None:
        for partition, position in self.topic.committed.items():
            self._check_below(self.topic.source, partition, position)

    @invariant()
    def memory_is_bounded(self) -> None:
        for process in self.processes:
            assert len(process.calls) <= WRITERS + 2
            assert len(process.member.handed_over) <= WRITERS * UNSETTLED_A_WRITER + 2

    @invariant()
    def nothing_else_fails(self) -> None:
        assert not self.loop.failures
        for process in [process for process in self.processes if process.work.done()]:
            self.processes.remove(process)
            self._check_end(process)

    def check_acknowledged(self, member: Member, fetched: Fetched) -> None:
        """Called when a pipeline acknowledges, before it counts."""
        assert member.handed_over[0] is fetched, "acknowledged out of order"
        for partition, span in fetched.spans.items():
            if member.assignment.holds(partition) and member.assignment.epoch(partition) == span.epoch:
                self._check_below(fetched.source, partition, span.next)
                self._check_dead_letters(fetched.source, partition, span.next)

    def check_write(self, batch: Batch) -> None:
        """Called when a batch is committed: it keeps nothing aside that could be stored."""
        for refused in batch.refused:
            uid = self.uids[batch.source, refused.message.partition, refused.message.position]
            assert uid is None or uid.startswith(POISON)

    def teardown(self) -> None:
        """When the faults are over, everything gets its outcome, and a stop finishes."""
        try:
            self._finish()
        finally:
            for process in self.processes:
                process.work.cancel()
            self.loop.run_ready()

    def _finish(self) -> None:
        if self.database.life > 1:
            # An idle pipeline learns of it when it next writes.
            for partition in range(PARTITIONS):
                self.publish(self.new_order("last"), partition, 0)
        self._until(self._is_drained)
        for process in self.processes:
            process.stopping.set()
        self._until(lambda: not self.processes)
        known = self.database.positions(GROUP)
        assert self._is_drained()
        assert self.topic.read_to_the_end() == {
            partition: position
            for (source, partition), position in known.items()
            if source == self.topic.source
        }

    # How it is done.

    def _until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1_000):
            self.go_on()
            self._check()
            if condition():
                return
        raise AssertionError("it never ends")

    def _check(self) -> None:
        self.one_row_at_most()
        self.progress_is_true()
        self.acknowledged_is_committed()
        self.memory_is_bounded()
        self.nothing_else_fails()

    def _is_drained(self) -> bool:
        return self.topic.committed == self.topic.read_to_the_end() and all(
            self.has_outcome(place) for place in self.uids if place[0] == self.topic.source
        )

    def _check_end(self, process: Process) -> None:
        error = process.work.exception()
        if error is None:
            finished = process.work.result()
            assert process.stopping.is_set()
            assert not (finished and process.member.handed_over)
        elif isinstance(error, DatabaseWentBack):
            assert self.database.life > process.began_in, "it never went back"
        elif not (process.told_to_fail and type(error) is Fatal):
            raise error

    def _check_dead_letters(self, source: SourceIdentity, partition: int, position: int) -> None:
        for message in self.topics[source].partitions[partition]:
            place = (source, partition, message.position)
            if self.sends_dead_letters and message.position < position and self.database.keeps_aside(place):
                assert place in self.dead_letters, f"no dead letter: {place[1:]}"

    def _check_below(self, source: SourceIdentity, partition: int, position: int) -> None:
        for message in self.topics[source].partitions[partition]:
            place = (source, partition, message.position)
            if message.position < position:
                assert self.has_outcome(place) or place in self.had_outcome, f"no outcome: {place[1:]}"


TestPipeline = PipelineMachine.TestCase
TestPipeline.settings = settings(
    max_examples=EXAMPLES * (100 if LONG else 1),
    stateful_step_count=STEPS,
    derandomize=not LONG,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
