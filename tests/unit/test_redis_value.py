"""What Redis holds of an order: it comes back as it was, and nothing else is taken for it."""

from hypothesis import given
from hypothesis import strategies as st

from orderkeep.cache.redis_value import pack, unpack

uids = st.text("aA0.-_~:", min_size=1, max_size=8)
payloads = st.binary(max_size=50)


@given(uids, payloads)
def test_round_trip(uid: str, payload: bytes) -> None:
    """The text comes back byte for byte."""
    assert unpack(uid, pack(uid, payload)) == payload


@given(uids, payloads, st.data())
def test_changed(uid: str, payload: bytes, data: st.DataObject) -> None:
    """A value that lost, gained or changed a byte anywhere is noticed."""
    value = pack(uid, payload)
    at = data.draw(st.integers(0, len(value) - 1))
    changed = bytes([value[at] ^ data.draw(st.integers(1, 255))])
    for wrong in (value[:at], value[at + 1 :], value[:at] + changed + value[at + 1 :], value + changed):
        assert unpack(uid, wrong) is None


@given(uids, uids, payloads, payloads)
def test_of_another(uid: str, other: str, payload: bytes, beginning: bytes) -> None:
    """A value of another uid is noticed, however uid and text run together."""
    if uid != other:
        assert unpack(other, pack(uid, payload)) is None
        assert unpack(other, pack(uid, beginning + payload)) is None


@given(st.none() | st.integers() | st.text() | st.lists(st.binary()) | st.binary())
def test_anything(value: object) -> None:
    """Whatever is found is not taken for an order."""
    assert unpack("uid", value) is None
