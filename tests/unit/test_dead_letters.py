"""What goes to the dead letters, and when: through complete implementations in memory."""

import asyncio
from collections import Counter

import pytest

from orderkeep.errors import BrokerUnavailable, ConfigurationError
from orderkeep.ingest import retry
from orderkeep.ingest.pipeline import Pipeline
from orderkeep.settings_load import load
from orderkeep.sources.memory import MemorySource, MemoryTopic
from orderkeep.sources.memory_dead_letters import MemoryDeadLetters
from orderkeep.storage.memory import MemoryStore
from orderkeep.storage.store import Refused, SourceIdentity
from tests.orders import order
from tests.unit.test_pipeline import GROUP, Heard, until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0001)


@pytest.fixture
def topic() -> MemoryTopic:
    """With a good order, the same again, a conflict, a tombstone and garbage."""
    topic = MemoryTopic("orders")
    for payload in (order("a"), order("a"), order("a") + b" ", None, b"garbage"):
        topic.publish(payload)
    return topic


KEPT = {2: "conflict", 3: "tombstone", 4: "not_json"}


async def run(topic: MemoryTopic, store: MemoryStore, dead_letters: MemoryDeadLetters) -> None:
    """Run a pipeline until everything is acknowledged."""
    stop = asyncio.Event()
    pipeline = Pipeline(MemorySource(topic, GROUP), [store], GROUP, Heard(), dead_letters=dead_letters)
    work = asyncio.create_task(pipeline.run(stop, 60))
    await until(lambda: topic.committed.get((GROUP, 0)) == len(topic.partitions[0]))
    stop.set()
    assert await work


def kinds(dead_letters: MemoryDeadLetters) -> list[tuple[int, str]]:
    return sorted((refused.message.position, refused.kind) for _, refused in dead_letters.delivered)


async def test_rejects_and_conflicts(topic: MemoryTopic) -> None:
    """Every reject and every conflict is delivered, with its message and its kind, and nothing else is."""
    dead_letters = MemoryDeadLetters()
    await run(topic, MemoryStore(), dead_letters)
    assert kinds(dead_letters) == sorted(KEPT.items())
    assert {refused.message.payload for _, refused in dead_letters.delivered} == {
        order("a") + b" ",
        None,
        b"garbage",
    }


async def test_kept_before(topic: MemoryTopic) -> None:
    """What is delivered again goes to the dead letters again: nobody knows whether it arrived before."""
    store = MemoryStore()
    await run(topic, store, MemoryDeadLetters())
    topic.committed[GROUP, 0] = 0
    again = MemoryDeadLetters()
    await run(topic, store, again)
    assert kinds(again) == sorted(KEPT.items())
    assert len(store.rejects) == len(KEPT)


class Reluctant(MemoryDeadLetters):
    """Away at first; while it is, nothing of the topic may be acknowledged."""

    def __init__(self, topic: MemoryTopic) -> None:
        super().__init__()
        self._topic = topic
        self.refusals = 5

    async def deliver(self, source: SourceIdentity, refused: list[Refused]) -> None:  # type: ignore[override] # as it is called
        assert not self._topic.committed
        if self.refusals:
            self.refusals -= 1
            raise BrokerUnavailable("away")
        await super().deliver(source, refused)


async def test_away(topic: MemoryTopic) -> None:
    """While dead letters cannot be delivered nothing is acknowledged; later each arrives."""
    dead_letters = Reluctant(topic)
    await run(topic, MemoryStore(), dead_letters)
    assert Counter(kinds(dead_letters)) == Counter(sorted(KEPT.items()))


def test_its_own_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic that is read cannot get the dead letters: they would be read for ever."""
    monkeypatch.setenv("ORDERKEEP_KAFKA_TOPIC", "one")
    monkeypatch.setenv("ORDERKEEP_KAFKA_DEAD_LETTER_TOPIC", "one")
    with pytest.raises(ConfigurationError, match="name another topic"):
        load()
