"""From the client's message to ours: everything copied out, whatever a sender has put in."""

import operator

from confluent_kafka import Message as KafkaMessage

from orderkeep.storage.store import Message


def read(message: KafkaMessage) -> Message:
    """Copy out what we need; the client's own object keeps the whole fetched block alive."""
    return Message(
        partition=message.partition() or 0,
        position=message.offset() or 0,
        payload=message.value(),
        key=message.key(),
        headers=_headers(message),
        timestamp_ms=message.timestamp()[1],
    )


# Through a caller: called directly, confluent-kafka 2.16 returns a list with an exception set for a name that
# is not UTF-8, and CPython 3.11 crashes on it (seen after ten). This way it is a SystemError.
_ask_headers = operator.methodcaller("headers")


def _headers(message: KafkaMessage) -> tuple[tuple[bytes, bytes | None], ...]:
    try:
        found = _ask_headers(message)
    except (SystemError, UnicodeError):
        # The client decodes names as UTF-8 and gives no way to the bytes of one that is not.
        return ((b"(headers whose names are not UTF-8)", None),)
    return tuple((name.encode(), value) for name, value in found) if found else ()
