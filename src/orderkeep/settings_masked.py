"""The settings as they may be shown: without passwords and credentials."""

import re
from typing import Any

from orderkeep.settings import Settings


def masked(settings: Settings) -> dict[str, Any]:
    """The settings as they are in force, passwords and credentials replaced by `***`."""
    values = settings.model_dump()
    for name, value in values.items():
        if isinstance(value, str) and "://" in value:
            values[name] = mask_url(value)
    # A user without a password is a token.
    values["nats_url"] = re.sub(r"(://).*@", r"\1***@", settings.nats_url)
    values["kafka_options"] = {
        name: "***" if re.search("password|secret|key|token|jaas", name) else value
        for name, value in settings.kafka_options.items()
    }
    return values


def mask_url(url: str) -> str:
    """The URL without its password; greedy, since a password may hold an `@` or a `/` that nobody escaped."""
    url = re.sub(r"(://[^:/@]*:).*@", r"\1***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", url)
