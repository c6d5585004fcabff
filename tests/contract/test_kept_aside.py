"""What every store tells of messages that it has kept aside."""

from orderkeep.storage.store import OrderWriter, Refused
from tests.orders import SOURCE, batch, message, order

CONFLICT, GARBAGE, TOMBSTONE = order("a", locale="ru"), b"garbage", None


async def test_rejects_and_conflicts(writer: OrderWriter) -> None:
    """Rejects and conflicts are told in the order asked for, with kind, reason and uid; orders are not."""
    payloads = [order("a"), CONFLICT, GARBAGE, order("b"), TOMBSTONE]
    messages = [message(payload, position) for position, payload in enumerate(payloads)]
    await writer.write(batch(messages))
    kept = await writer.kept_aside(SOURCE, messages[::-1])
    assert [refused.message for refused in kept] == [messages[4], messages[2], messages[1]]
    assert [refused.kind for refused in kept] == ["tombstone", "not_json", "conflict"]
    assert [refused.order_uid for refused in kept] == [None, None, "a"]
    assert all(isinstance(refused, Refused) and refused.reason for refused in kept)


async def test_the_same_place_with_other_bytes(writer: OrderWriter) -> None:
    """A reject is told of its own bytes only: a place may come to hold another message."""
    await writer.write(batch([message(GARBAGE, 0)]))
    assert await writer.kept_aside(SOURCE, [message(b"other garbage", 0), message(GARBAGE, 0, 1)]) == []
    assert await writer.kept_aside(SOURCE._replace(incarnation="second"), [message(GARBAGE, 0)]) == []
    assert await writer.kept_aside(SOURCE, []) == []
