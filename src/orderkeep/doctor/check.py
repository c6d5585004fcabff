"""What a check is: a look at one neighbour, shared by all who ask about it, and a judgement of what was seen.

Only a look talks to a neighbour, and only for `LOOK_SECONDS`. A judgement is a function of what was seen and
of the settings, so it is small, waits for nothing, and is tried on anything that might be seen.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from orderkeep.errors import ConfigurationError, ServerUnavailable
from orderkeep.settings import Settings

LOOK_SECONDS = 15.0
"""For all that is asked of one neighbour. A client that waits for its server gives up before that."""

Severity = Literal["ok", "skipped", "warning", "error"]
"""skipped: what it depends on could not be looked at. warning: works, but not as it should in production.
error: Orderkeep does not start, does not go on, or may lose what it confirmed."""

Seen = TypeVar("Seen")


class Verdict(NamedTuple):
    """`what` is seen, and the `remedy`: what to do about it."""

    severity: Severity
    what: str
    remedy: str = ""


def ok(what: str) -> Verdict:
    return Verdict("ok", what)


def warning(what: str, remedy: str) -> Verdict:
    return Verdict("warning", what, remedy)


def error(what: str, remedy: str) -> Verdict:
    return Verdict("error", what, remedy)


class Sight:
    """What has been seen so far: each look is taken once, whoever asks for it first."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._looks: dict[Callable[..., Any], asyncio.Task[Any]] = {}

    async def see(self, look: "Look[Seen]") -> Seen:
        """What the look found. Raises what it raised, or `ServerUnavailable` when it took too long."""
        if look not in self._looks:
            self._looks[look] = asyncio.ensure_future(self._within_time(look))
        seen: Seen = await asyncio.shield(self._looks[look])
        return seen

    async def _within_time(self, look: "Look[Seen]") -> Seen:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await look(self)
        except TimeoutError:
            raise ServerUnavailable(f"no answer within {LOOK_SECONDS:g} seconds") from None
        except ModuleNotFoundError as missing:
            raise ConfigurationError(f"the package {missing.name} is not installed") from None


Look = Callable[[Sight], Awaitable[Seen]]


def always(_settings: Settings) -> bool:
    return True


class Check(NamedTuple, Generic[Seen]):
    """One line of the report.

    `judge` says one thing or several. A look that fails is told by the check that `opens` the neighbour, with
    what to do about it, in a finding of this `severity`; the others are skipped. Unless `when`, the check is
    no part of the report.
    """

    name: str
    look: Look[Seen]
    judge: Callable[[Settings, Seen], Verdict | Sequence[Verdict]]
    opens: str = ""
    severity: Severity = "error"
    when: Callable[[Settings], bool] = always
