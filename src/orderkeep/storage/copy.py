"""PostgreSQL's binary COPY format, written straight from the bytes of the messages.

The format is that of the manual, "COPY, Binary Format": a header, then for each row the number of its
fields and each field with its length. The payload of a json column is its text, so it is neither decoded
nor encoded again.
"""

import struct
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from orderkeep.storage.store import Accepted

ORDER_COLUMNS = (
    "order_uid",
    "track_number",
    "customer_id",
    "date_created",
    "payload",
    "source",
    "partition",
    "position",
)
STAGED_COLUMNS = ("ordinal", *ORDER_COLUMNS)

_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_ROWS_A_CHUNK = 256
_SHAPES = 1_024  # kept: most texts of a stream have one of a few lengths

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # a timestamptz counts microseconds from here
_MICROSECOND = timedelta(microseconds=1)

_order_start = struct.Struct(">h").pack(len(ORDER_COLUMNS))
_staged_start = struct.Struct(">hii").pack
_origin = struct.Struct(">iiiiiq").pack
_nowhere = struct.Struct(">iiii").pack
_NULL = -1  # for the length of a field


async def order_rows(accepted: Sequence[Accepted], source: int) -> AsyncIterator[bytes]:
    """The bytes of a COPY into `ORDER_COLUMNS`, in chunks of a few hundred rows."""
    yield _HEADER
    for start in range(0, len(accepted), _ROWS_A_CHUNK):
        parts: list[bytes] = []
        for row in accepted[start : start + _ROWS_A_CHUNK]:
            parts.append(_order_start)
            message = row.message
            _append_fields(parts, row, _origin(4, source, 4, message.partition, 8, message.position))
        yield b"".join(parts)
    yield _TRAILER


async def staged_rows(
    accepted: Sequence[Accepted], source: int, *, placed: bool = True
) -> AsyncIterator[bytes]:
    """The bytes of a COPY into `STAGED_COLUMNS`; the ordinal of a row is its place in `accepted`.

    Unless they are `placed`, partition and position are null.
    """
    yield _HEADER
    for start in range(0, len(accepted), _ROWS_A_CHUNK):
        parts: list[bytes] = []
        for ordinal, row in enumerate(accepted[start : start + _ROWS_A_CHUNK], start):
            parts.append(_staged_start(len(STAGED_COLUMNS), 4, ordinal))
            message = row.message
            origin = (
                _origin(4, source, 4, message.partition, 8, message.position)
                if placed
                else _nowhere(4, source, _NULL, _NULL)
            )
            _append_fields(parts, row, origin)
        yield b"".join(parts)
    yield _TRAILER


def _append_fields(parts: list[bytes], row: Accepted, origin: bytes) -> None:
    uid = row.order_uid.encode()
    track_number = row.track_number.encode()
    customer_id = row.customer_id.encode()
    date_created = (row.date_created - _EPOCH) // _MICROSECOND
    lengths = len(uid), len(track_number), len(customer_id)
    parts += (
        _texts_and_date(*lengths)(
            lengths[0],
            uid,
            lengths[1],
            track_number,
            lengths[2],
            customer_id,
            8,
            date_created,
            len(row.payload),
        ),
        row.payload,
        origin,
    )


@lru_cache(_SHAPES)
def _texts_and_date(uid: int, track_number: int, customer_id: int) -> Callable[..., bytes]:
    """Packs three texts of these lengths in bytes, a date, and the length of the payload that follows."""
    return struct.Struct(f">i{uid}si{track_number}si{customer_id}siqi").pack
