"""Points in time as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.moment import moment

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h", NOW - timedelta(hours=1)),
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("7d", NOW - timedelta(days=7)),
        ("0s", NOW),
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-21T09:30", datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
        ("2026-11-21 09:30:00.5", datetime(2026, 11, 21, 9, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-11-21T09:30:00Z", datetime(2026, 11, 21, 9, 30, tzinfo=UTC)),
        ("2026-11-21T09:30+03:00", datetime(2026, 11, 21, 6, 30, tzinfo=UTC)),
    ],
)
def test_moment(text: str, expected: datetime) -> None:
    """An age counts back from now; a time without a zone is in UTC."""
    assert moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "-1h",
        "1.5h",
        "1w",
        "99999999999h",
        "999999999d",
        "2026-02-30",
        "today",
        "0001-01-01T00:00+14:00",
    ],
)
def test_no_moment(text: str) -> None:
    """What is no point in time, or outside of the calendar, is refused with what may be written."""
    with pytest.raises(ValueError, match="give how long ago"):
        moment(text, NOW)


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    """Any text is a time in UTC, or a `ValueError`."""
    try:
        found = moment(text, NOW)
    except ValueError:
        return
    assert found.tzinfo is UTC
