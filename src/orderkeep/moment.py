"""A point in time as people write it: how long ago, a day, or a moment of ISO 8601."""

import re
from datetime import UTC, datetime, timedelta

FORMS = "give how long ago, such as 30m, 1h or 7d, or a time such as 2026-11-21 or 2026-11-21T09:30+03:00"

_AGO = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime) -> datetime:
    """The time that `text` means, in UTC; a time without a zone is in UTC too.

    `now` is what an age such as `1h` is counted from. Raises `ValueError` with what may be written.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        given = datetime.fromisoformat(text)
        return given.replace(tzinfo=given.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no point in time: {FORMS}") from None
