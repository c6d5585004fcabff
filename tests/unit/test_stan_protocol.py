"""The messages of NATS Streaming on the wire: written and read as protobuf has them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep import stan_protocol as protocol
from orderkeep.errors import BrokerUnavailable, ConfigurationError
from orderkeep.stan_connection import check_channel

VALUES = st.one_of(st.integers(1, 2**64 - 1), st.binary(min_size=1))


@given(st.dictionaries(st.integers(1, 2_000), VALUES))
def test_round_trip(fields: dict[int, int | bytes]) -> None:
    """Whatever is written is read again."""
    assert protocol.decode(protocol.encode(fields)) == fields


@given(st.binary(max_size=40))
def test_garbage(data: bytes) -> None:
    """Whatever comes is read, or refused as what may pass."""
    with suppress(BrokerUnavailable):
        protocol.decode(data)


def test_known_bytes() -> None:
    """The bytes of protobuf's own documentation, and of a message as stan.go's server sends it."""
    assert protocol.encode({1: 150, 2: "testing"}) == b"\x08\x96\x01\x12\x07testing"
    sent = b"\x08\xac\x02\x12\x06orders\x22\x02{}\x28\x80\x94\xeb\xdc\x03\x30\x01\x38\x02\x50\x07"
    assert protocol.read_message(sent) == (300, b"{}", 1_000_000_000)


def test_what_is_empty_is_left_out() -> None:
    """An empty payload and a zero are not written, and read as such."""
    assert protocol.encode({1: 0, 2: "", 3: b""}) == b""
    assert protocol.read_message(b"\x08\x01") == (1, b"", 0)


def test_a_sender_may_write_anything() -> None:
    """A reply subject that is not UTF-8, and fields that nobody knows, keep no message from being read."""
    sent = protocol.encode({1: 7, 3: b"\xff\xfe", 4: b"x", 99: b"?", 100: 5})
    assert protocol.read_message(sent) == (7, b"x", 0)


def test_start() -> None:
    """A subscription begins at a sequence, at the first message, or at the last."""
    asked = {
        start: protocol.decode(
            protocol.subscription_request("me", "orders", "inbox", start, max_in_flight=1, ack_wait=1)
        )
        for start in ("first", "last", 5)
    }
    assert {start: (fields[10], fields.get(11)) for start, fields in asked.items()} == {
        "first": (4, None),
        "last": (1, None),
        5: (3, 5),
    }


@pytest.mark.parametrize("name", ["", "a b", ".a", "a.", "a..b", "a.*", ">", "a/b", "a\n"])
def test_channels(name: str) -> None:
    """What is no name of a channel is refused."""
    check_channel("orders.eu-1_x")
    with pytest.raises(ConfigurationError, match="ORDERKEEP_NATS_SUBJECT"):
        check_channel(name)
