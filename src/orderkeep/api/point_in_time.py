"""`since` and `until`: the parameters of lists that are limited to a time."""

from datetime import datetime
from typing import Annotated

from litestar.exceptions import ValidationException
from litestar.openapi.spec import Example
from litestar.params import Parameter

from orderkeep.moment import moment

Since = Annotated[
    str | None,
    Parameter(
        max_length=64,
        description="Not older than: 1h, 7d, or a time of ISO 8601 (UTC).",
        examples=[Example(value="7d"), Example(value="2021-11-26T06:22:19Z")],
    ),
]
Until = Annotated[
    str | None,
    Parameter(
        max_length=64, description="Older than, written like `since`.", examples=[Example(value="2021-11-27")]
    ),
]


def point_in_time(name: str, text: str | None, now: datetime) -> datetime | None:
    """The time that the parameter `name` means. Raises `ValidationException`, which is answered with 400."""
    try:
        return None if text is None else moment(text, now)
    except ValueError as error:
        raise ValidationException(f"{name}: {error}") from None
