"""What is tried again, and what is not."""

import pytest

from orderkeep.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    DataRefused,
    Fatal,
    NotMigrated,
    OutcomeUnknown,
    SchemaAtFault,
    ServerUnavailable,
)
from orderkeep.ingest import retry
from orderkeep.ingest.retry import for_ever, within


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once: what is tested is which, not when."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0001)


class Answers:
    """A call that raises the given errors, one a time, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.heard: list[Exception] = []

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def hear(self, error: Exception, seconds: float) -> None:
        assert seconds >= 0
        self.heard.append(error)


async def test_transient() -> None:
    """An error about the world is tried again until it is over, and each one is told."""
    errors = [DatabaseUnavailable("1"), OutcomeUnknown("2"), BrokerUnavailable("3")] * 5
    call = Answers(*errors)
    assert await for_ever(call, call.hear) == "done"
    assert call.heard == errors
    assert call.calls == 16


@pytest.mark.parametrize(
    "error", [Fatal("set-up"), NotMigrated("tables"), DataRefused("value"), ValueError("bug")]
)
async def test_not_transient(error: Exception) -> None:
    """Any other error passes at once."""
    call = Answers(DatabaseUnavailable("1"), error)
    with pytest.raises(type(error)) as caught:
        await for_ever(call, call.hear)
    assert caught.value is error
    assert call.calls == 2


async def test_schema_at_fault() -> None:
    """A constraint that goes on refusing valid orders is fatal in the end, and never a reject."""
    call = Answers(*[SchemaAtFault("a constraint")] * 50)
    with pytest.raises(Fatal, match="a constraint"):
        await for_ever(call, call.hear)
    assert call.calls == retry.TRIES_OF_A_SCHEMA


async def test_schema_at_fault_for_a_moment() -> None:
    """A constraint that refuses once, as while a migration runs, is only tried again."""
    call = Answers(SchemaAtFault("a constraint"))
    assert await for_ever(call, call.hear) == "done"


async def test_within() -> None:
    """At the start the world gets a limited time, and then the message says what to start."""
    call = Answers(*[DatabaseUnavailable("refused")] * 10_000)
    with pytest.raises(ServerUnavailable, match=r"refused.*start PostgreSQL"):
        await within(0.05, call)
    assert await within(60, Answers(DatabaseUnavailable("refused"))) == "done"
    with pytest.raises(NotMigrated):
        await within(60, Answers(NotMigrated("tables")))
