"""The watermark never says that something is committed which is not."""

from hypothesis import given, settings
from hypothesis import strategies as st

from orderkeep.ingest.watermark import Watermark
from orderkeep.sources.source import Span
from orderkeep.storage.store import Position

Spans = dict[int, Span]


@st.composite
def deliveries(draw: st.DrawFn) -> list[Spans]:
    """Batches as a source hands them over: in each some partitions, each further on, with holes between."""
    reached: dict[int, int] = {}
    batches: list[Spans] = []
    for partitions in draw(st.lists(st.sets(st.integers(0, 2), min_size=1), min_size=1, max_size=8)):
        spans: Spans = {}
        for partition in partitions:
            first = reached.get(partition, 0) + draw(st.integers(0, 3))
            following = first + draw(st.integers(1, 5))
            spans[partition] = Span(first, following, None, epoch=1)
            reached[partition] = following
        batches.append(spans)
    return batches


class Writers:
    """Batches on their way to the store: begun in order, each then planned, committed and ended by itself."""

    def __init__(self, batches: list[Spans]) -> None:
        self.watermark = Watermark()
        self.batches = batches
        self.begun = 0
        self.plans: dict[int, dict[int, int]] = {}
        self.committed: set[int] = set()
        self.ended: set[int] = set()

    def steps(self) -> list[tuple[str, int]]:
        """What may happen next."""
        begun = range(self.begun)
        may_begin = [("begin", self.begun)] if self.begun < len(self.batches) else []
        may_plan = [("plan", number) for number in begun if number not in self.plans]
        may_commit = [("commit", number) for number in self.plans if number not in self.committed]
        may_end = [("end", number) for number in self.committed if number not in self.ended]
        return may_begin + may_plan + may_commit + may_end

    def take(self, step: str, number: int) -> None:
        spans = self.batches[number]
        match step:
            case "begin":
                self.watermark.begin(spans)
                self.begun += 1
            case "plan":
                self.plans[number] = self.watermark.safe(spans)
            case "commit":
                self.committed.add(number)
            case "end":
                self.watermark.end(spans)
                self.ended.add(number)

    def is_committed_below(self, partition: int, position: int) -> bool:
        """Whether every message of the partition below the position is committed."""
        starts = [
            (number, spans[partition].first)
            for number, spans in enumerate(self.batches)
            if partition in spans
        ]
        return all(number in self.committed for number, first in starts if first < position)


@settings(max_examples=200, deadline=None)
@given(deliveries(), st.data())
def test_safe_positions(batches: list[Spans], data: st.DataObject) -> None:
    """In whatever order batches are written, a committed progress has nothing uncommitted below it."""
    writers = Writers(batches)
    while steps := writers.steps():
        step, number = data.draw(st.sampled_from(steps))
        writers.take(step, number)
        if step == "commit":
            for partition, position in writers.plans[number].items():
                assert writers.is_committed_below(partition, position)


@given(deliveries())
def test_alone(batches: list[Spans]) -> None:
    """A batch that is alone in flight takes the progress to its own end."""
    watermark = Watermark()
    for spans in batches:
        watermark.begin(spans)
        assert watermark.safe(spans) == {partition: span.next for partition, span in spans.items()}
        watermark.end(spans)


def test_older_in_flight() -> None:
    """While an older batch is in flight, the progress stays at its start, partition by partition."""
    watermark = Watermark()
    older, newer = {0: Span(5, 10, None, 1)}, {0: Span(10, 20, None, 1), 1: Span(0, 3, None, 2)}
    watermark.begin(older)
    watermark.begin(newer)
    assert watermark.safe(newer) == {0: 5, 1: 3}
    assert watermark.safe(older) == {0: 10}
    watermark.end(older)
    assert watermark.safe(newer) == {0: 20, 1: 3}


def test_the_same_positions_twice() -> None:
    """A span that is delivered again while its first copy is in flight is a span of its own."""
    watermark = Watermark()
    first, again = {0: Span(0, 5, None, 1)}, {0: Span(0, 5, None, 2)}
    watermark.begin(first)
    watermark.begin(again)
    assert watermark.safe(again) == {0: 0}
    watermark.end(first)
    assert watermark.safe(again) == {0: 5}


@settings(max_examples=100, deadline=None)
@given(deliveries(), st.data())
def test_what_the_database_knows(batches: list[Spans], data: st.DataObject) -> None:
    """When everything is settled, what was recorded on the way and what is left to record are the ends."""
    writers = Writers(batches)
    recorded: dict[int, int] = {}
    settled = 0
    while steps := writers.steps():
        step, number = data.draw(st.sampled_from(steps))
        writers.take(step, number)
        if step == "commit":
            writers.watermark.record(writers.plans[number])
            for partition, position in writers.plans[number].items():
                recorded[partition] = max(recorded.get(partition, 0), position)
        while settled in writers.ended:
            writers.watermark.settle(batches[settled])
            settled += 1
    rest = writers.watermark.take_unrecorded()
    ends = {partition: span.next for spans in batches for partition, span in spans.items()}
    assert recorded | {partition: position.next for partition, position in rest.items()} == ends
    assert all(position.next > recorded[partition] for partition, position in rest.items())
    assert writers.watermark.take_unrecorded() == {}


def test_shared_from_now_on() -> None:
    """What was settled alone is claimed when work is shared, by batches whose spans lie below it."""
    watermark = Watermark()
    first, second, shared, later = ({0: Span(*ends, None, 1)} for ends in ((1, 5), (5, 9), (1, 1), (1, 1)))
    for spans in (first, second, shared):
        watermark.begin(spans)
    assert watermark.safe(shared) == {0: 1}
    for spans in (second, first, shared):
        watermark.record(watermark.safe(spans))
        watermark.end(spans)
    for spans in (first, second, shared):
        watermark.settle(spans)
    watermark.begin(later)
    assert watermark.safe(later) == {0: 9}
    assert watermark.take_unrecorded() == {0: Position(9, None)}


def test_gone_back() -> None:
    """What was settled in an earlier epoch is no claim in the next: the broker may have lost its end."""
    watermark = Watermark()
    before, after = {0: Span(1, 9, None, 1)}, {0: Span(1, 3, None, 2)}
    for spans in (before, after):
        watermark.begin(spans)
        assert watermark.safe(spans) == {0: spans[0].next}
        watermark.end(spans)
        watermark.settle(spans)
