"""Sending: at a pace, up to a limit, and with a count that is right however it ends."""

import io
import os
import signal
import threading
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from orderkeep.errors import ConfigurationError
from orderkeep.publish.given import file_messages, line_messages
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.mixture import Mixture
from orderkeep.publish.publisher import MemoryPublisher
from orderkeep.publish.run import CATCH_UP_SECONDS, EARLY_SECONDS, Pace, publish


def test_count() -> None:
    """Exactly `count` messages are sent, in their order, and the report says what they were."""
    publisher = MemoryPublisher()
    report = publish(publisher, Mixture(1, bad=0.5), count=200)
    assert publisher.messages == list(islice(Mixture(1, bad=0.5), 200))
    assert report.sent == report.delivered == 200
    assert report.failed == 0
    assert not report.interrupted
    assert sum(report.kinds.values()) == sum(report.expected.values()) == 200
    assert set(report.expected) == {"stored", "duplicate", "rejected", "conflict"}


def test_messages_end() -> None:
    """When the messages end before the count is reached, so does sending."""
    report = publish(MemoryPublisher(), islice(Mixture(1), 3), count=10)
    assert report.sent == 3


def test_a_second_run_counts_from_zero() -> None:
    """A report is about its own run, whatever the publisher sent before."""
    publisher = MemoryPublisher()
    publish(publisher, Mixture(1), count=5)
    assert publish(publisher, Mixture(1), count=3).delivered == 3


def test_seconds_alone_end_it() -> None:
    """After the time given nothing more is sent, even if the next message is long in coming due."""
    report = publish(MemoryPublisher(), Mixture(1), seconds=0.05, rate=0.001)
    assert report.sent == 1


def test_stop_from_another_thread() -> None:
    """Setting `stop` ends it; what was sent is reported."""
    stop = threading.Event()
    publisher = MemoryPublisher(on_delivery=lambda _message, _ms: stop.set())
    report = publish(publisher, Mixture(1), stop=stop)
    assert report.interrupted
    assert report.sent == report.delivered == len(publisher.messages) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_loses_no_count(number: signal.Signals) -> None:
    """A signal in the middle of sending ends it after that message, which is counted; handlers come back."""
    before = signal.getsignal(number)

    def interrupt(_message: GeneratedMessage, _ms: int) -> None:
        if len(publisher.messages) == 7:
            os.kill(os.getpid(), number)

    publisher = MemoryPublisher(on_delivery=interrupt)
    report = publish(publisher, Mixture(1))
    assert report.interrupted
    assert report.sent == report.delivered == len(publisher.messages) == 7
    assert signal.getsignal(number) is before


def test_signal_ends_a_read() -> None:
    """A signal while the next line is waited for ends the wait: there might never be a line."""

    def lines() -> Iterator[bytes]:
        yield b"one"
        os.kill(os.getpid(), signal.SIGINT)
        yield b"two"

    publisher = MemoryPublisher()
    report = publish(publisher, line_messages(lines()))
    assert report.interrupted
    assert [message.payload for message in publisher.messages] == [b"one"]


@for_all(rate=st.floats(0.1, 200), steps=st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_pace_never_bursts(rate: float, steps: list[float]) -> None:
    """In no stretch of time is more sent than the rate and the bounded catching up allow, stalls or not."""
    pace = Pace(rate)
    now = 1_000.0
    sent: list[float] = []
    for step in steps:
        now += step
        while len(sent) < 150 and pace.delay(now) == 0:
            sent.append(now)
            pace.sent()
    for (first, start), (last, end) in combinations(enumerate(sent), 2):
        allowed = (end - start + CATCH_UP_SECONDS + EARLY_SECONDS) * rate + 1
        assert last - first + 1 <= allowed + 1e-6


@for_all(rate=st.floats(0.1, 1_000), count=st.integers(2, 200))
def test_pace_is_even(rate: float, count: int) -> None:
    """Someone who waits as long as told sends at the rate: the last of n messages goes n - 1 intervals in."""
    pace = Pace(rate)
    start = now = 50.0
    for _ in range(count):
        while delay := pace.delay(now):
            now += delay
        last = now
        pace.sent()
    assert last - start == pytest.approx((count - 1) / rate, abs=2 * EARLY_SECONDS)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_impossible_rate(rate: float) -> None:
    """A rate that is not above 0 is refused before anything is sent."""
    publisher = MemoryPublisher()
    with pytest.raises(ConfigurationError, match="above 0"):
        publish(publisher, Mixture(1), rate=rate)
    assert not publisher.messages


def test_file_is_sent_as_it_is(tmp_path: Path) -> None:
    """A file is one message, byte for byte, with its uid as key."""
    path = tmp_path / "model.json"
    path.write_bytes(b' {\n "order_uid": "a1"}\r\n\n')
    (message,) = file_messages(path)
    assert (message.key, message.uid, message.payload) == (b"a1", "a1", path.read_bytes())


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is named at once, before a broker is asked for."""
    with pytest.raises(ConfigurationError, match=r"cannot read .*nothing\.json: No such file"):
        file_messages(tmp_path / "nothing.json")


def test_lines() -> None:
    """Every line that is not blank is a message without its line end, whatever is in it."""
    text = b'{"order_uid":"a"}\n\n  \r\n\xff\xfe\r\n{"order_uid":1}\n' + b"[" * 100_000 + b"\nlast"
    messages = list(line_messages(io.BytesIO(text)))
    payloads = [b'{"order_uid":"a"}', b"\xff\xfe", b'{"order_uid":1}', b"[" * 100_000, b"last"]
    assert [message.payload for message in messages] == payloads
    assert [message.key for message in messages] == [b"a", None, None, None, None]


def test_surrogates_in_a_given_uid() -> None:
    """A uid that cannot be bytes is no key, and no reason to stop."""
    (message,) = line_messages([b'{"order_uid":"\\ud800"}\n'])
    assert message.key is None
