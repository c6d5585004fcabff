"""Lengths of time, as people read them."""

SHORT_HOURS = 24
"""A broker that deletes sooner leaves no time to notice an outage and to repair it."""
_UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))


def period(seconds: float) -> str:
    """In the largest unit of which there are two or more."""
    for length, name in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} seconds"
