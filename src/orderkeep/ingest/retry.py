"""Trying again, for ever, what failed because of the world."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from orderkeep.errors import Fatal, SchemaAtFault, ServerUnavailable, Transient

FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0
TRIES_OF_A_SCHEMA = 5

Result = TypeVar("Result")


async def for_ever(
    call: Callable[[], Awaitable[Result]], retried: Callable[[Exception, float], None]
) -> Result:
    """Await `call` until it succeeds or raises what is not `Transient`, with jittered backoff.

    `retried` hears each error and the seconds until the next try. Raises `Fatal` when a constraint of our
    own schema has refused a valid order several times.
    """

    def note(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, SchemaAtFault) and state.attempt_number >= TRIES_OF_A_SCHEMA:
            raise Fatal(f"{error}: the tables are not those of `orderkeep migrate`") from error
        if isinstance(error, Exception):
            retried(error, state.upcoming_sleep)

    trying = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, Transient)),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        before_sleep=note,
        reraise=True,
    )
    async for attempt in trying:
        with attempt:
            result = await call()
    return result


async def within(seconds: float, call: Callable[[], Awaitable[Result]]) -> Result:
    """Await `call`, again while it raises `Transient`, for `seconds`; then raises `ServerUnavailable`."""
    trying = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, Transient)),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=1.0),
        stop=stop_after_delay(seconds),
        reraise=True,
    )
    try:
        async for attempt in trying:
            with attempt:
                result = await call()
    except Transient as error:
        raise ServerUnavailable(
            f"{error}. Tried for {seconds:g} seconds: start PostgreSQL, or correct ORDERKEEP_DATABASE_URL"
        ) from error
    return result
