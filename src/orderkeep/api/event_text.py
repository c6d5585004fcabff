"""Events as text: server-sent events (WHATWG HTML, 9.2), and ids with which a client comes back."""

import re
from datetime import UTC, datetime, timedelta

import msgspec

from orderkeep.storage.events import Event, EventPlace, StoredEvent

RETRY_MILLISECONDS = 1_000
HEARTBEAT = b":\n\n"
"""A comment: proxies on the way see that the connection is alive, clients see nothing."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ID = re.compile(
    r"(?P<time>[0-9]{1,17})\.(?:"
    r"stored\.(?P<stored>(?!\.{1,2}\Z)[A-Za-z0-9._~:-]{1,128})|rejected\.(?P<rejected>[0-9]{1,18})|now)"
)


def event_id(place: EventPlace) -> str:
    """Opaque to clients: microseconds since 1970, kind and key."""
    time = (place.received_at - _EPOCH) // _MICROSECOND
    return f"{time}.{place.kind}.{place.key}" if place.kind else f"{time}.now"


def place_of(text: str) -> EventPlace | None:
    """The place that the id stands for; None when it is no id."""
    found = _ID.fullmatch(text)
    if found is None:
        return None
    time = _EPOCH + int(found["time"]) * _MICROSECOND
    if found["stored"]:
        return EventPlace(time, "stored", found["stored"])
    return EventPlace(time, "rejected", found["rejected"]) if found["rejected"] else EventPlace(time)


def event(told: Event) -> bytes:
    name = b"stored" if isinstance(told, StoredEvent) else b"rejected"
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        event_id(told.place).encode(),
        name,
        msgspec.json.encode(told),
    )


def skipped(count: int, last: EventPlace | None) -> bytes:
    """So many events are not sent; whoever comes back with its id comes back behind the last of them."""
    identified = b"id: %b\n" % event_id(last).encode() if last else b""
    return b'%bevent: skipped\ndata: {"count":%d}\n\n' % (identified, count)


def bye(reason: str) -> bytes:
    return b"event: bye\ndata: %b\n\n" % msgspec.json.encode({"reason": reason})


def opening(place: EventPlace | None) -> bytes:
    """How long to wait before coming back; and from where, if nothing else is sent."""
    identified = b"id: %b\n" % event_id(place).encode() if place else b""
    return b"retry: %d\n%b\n" % (RETRY_MILLISECONDS, identified)
