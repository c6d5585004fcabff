"""The circuit breaker: open after failures in a row, closed by a probe, wary afterwards."""

from hypothesis import given
from hypothesis import strategies as st

from orderkeep.cache.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


def opened() -> Breaker:
    breaker = Breaker()
    assert [breaker.fail() for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    return breaker


def test_opens_after_failures_in_a_row() -> None:
    """Failures with a success between them do not open it; so many in a row do, and only the last tells."""
    breaker = Breaker()
    for _ in range(10):
        for _ in range(FAILURES - 1):
            assert not breaker.fail()
        breaker.succeed()
    assert not breaker.is_open
    assert opened().is_open


def test_late_success() -> None:
    """A call that is answered after it opened does not close it; failures after that open it no more."""
    breaker = opened()
    breaker.succeed()
    assert breaker.is_open
    assert not breaker.fail()


def test_half_open() -> None:
    """After a probe the first failure opens it again, and the first success closes it for good."""
    breaker = opened()
    breaker.half_open()
    assert not breaker.is_open
    assert breaker.fail()
    breaker.half_open()
    breaker.succeed()
    assert not breaker.fail()


def test_pauses() -> None:
    """Pauses double up to a limit while nothing succeeds, and begin anew when something has."""
    breaker = opened()
    pauses = [breaker.next_pause() for _ in range(10)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    breaker.half_open()
    breaker.succeed()
    assert breaker.next_pause() == FIRST_PAUSE


@given(st.lists(st.sampled_from(["succeed", "fail", "half_open"])))
def test_any_sequence(calls: list[str]) -> None:
    """It is open exactly while the last calls that count were failures enough."""
    breaker = Breaker()
    failures = 0
    for call in calls:
        getattr(breaker, call)()
        if call == "fail":
            failures += 1
        elif call == "half_open":
            failures = FAILURES - 1
        elif failures < FAILURES:
            failures = 0
        assert breaker.is_open == (failures >= FAILURES)
