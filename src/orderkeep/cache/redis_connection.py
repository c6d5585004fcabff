"""Redis or Valkey, asked for a bounded time, and not at all while it is known not to answer.

The client is valkey-py, which speaks to both; no other module knows it. What is needed of it is little: one
command that reads many keys, and scripts that write many with one answer. A pipeline of commands costs the
client several times as much for each order, and redis-py no less; coredis is slower at everything.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from valkey.asyncio import Valkey
from valkey.asyncio.retry import Retry
from valkey.backoff import NoBackoff
from valkey.exceptions import ResponseError

from orderkeep.cache.breaker import Breaker
from orderkeep.errors import CacheUnavailable, ConfigurationError
from orderkeep.refused_certificate import find_refused, why_refused

READERS = 2
"""Connections that are there before anyone asks: as many as there are batches at a time in `ReadThrough`."""
CONNECT_SECONDS = 2.0
"""For a connection, TLS and authentication included; only a probe waits for it."""
WRITE_SECONDS = 2.0
"""For writes, which nobody waits for."""
_SECURE = ("rediss://", "valkeys://")

_WRITE = "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'EX', ARGV[1]) end"
_TAKE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""

Answer = TypeVar("Answer")

log = structlog.get_logger()


class RedisConnection:
    """A few connections to one server. Every call raises `CacheUnavailable`, and nothing else.

    Reads that fail open the breaker; a write may be slow or refused while reads are not. `trouble` is why it
    is open, or None.
    """

    def __init__(self, url: str, deadline: float, probe: str) -> None:
        """Nothing is connected yet. A read gets `deadline` seconds; `probe` is a key that may be read.

        Raises `ConfigurationError`.
        """
        try:
            # To try again is for the breaker to decide, and the time of the whole call is limited here.
            self._client: Any = Valkey.from_url(
                url,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=None,
                socket_connect_timeout=CONNECT_SECONDS,
                **({"ssl_check_hostname": True} if url.startswith(_SECURE) else {}),  # its default is not to
            )
            self._client.connection_pool.make_connection()  # connects to nothing; reads the parameters
        except (ValueError, TypeError):
            # The client's own words may hold a part of the password.
            raise ConfigurationError(
                "ORDERKEEP_REDIS_URL cannot be read: redis://user:password@host:6379/0 is expected, "
                "with %XX for what is special in a password, and ?parameters that valkey-py knows"
            ) from None
        self._deadline = deadline
        self._probe = probe
        self._breaker = Breaker()
        self._opened = asyncio.Event()
        self.trouble: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open: no call would reach the server now."""
        return self._breaker.is_open

    async def read(self, keys: Sequence[str]) -> list[object]:
        """The value of each key: bytes, or None when there is none, or one of another type."""
        try:
            values = await self._call(self._deadline, lambda: self._mget(keys))
        except CacheUnavailable as error:
            if self._breaker.fail():
                self.trouble = f"Redis cannot be read: {error}"
                self._opened.set()
                log.warning("redis_unavailable", error=self.trouble)
            raise
        self._breaker.succeed()
        return values

    async def write(self, values: Mapping[str, bytes], ttl: int) -> None:
        """Set all keys, for `ttl` seconds."""
        await self._call(WRITE_SECONDS, lambda: self._eval(_WRITE, values, ttl, *values.values()))

    async def take(self, key: str, owner: str, ttl: int) -> bool:
        """Whether the key is `owner`'s: it was already, or nobody's. It is for `ttl` seconds more then."""
        return await self._call(WRITE_SECONDS, lambda: self._eval(_TAKE, [key], owner, ttl)) == 1

    async def delete(self, keys: Sequence[str]) -> None:
        await self._call(WRITE_SECONDS, lambda: self._client.delete(*keys))

    async def let_go(self, key: str) -> None:
        await self._call(WRITE_SECONDS, lambda: self._client.delete(key))

    async def connect(self) -> None:
        """Have connections that answer within the deadline; to make one may take longer."""
        for seconds in (CONNECT_SECONDS, self._deadline):
            await asyncio.gather(
                *(self._ask(seconds, lambda: self._mget([self._probe])) for _ in range(READERS))
            )

    async def probe_for_ever(self) -> None:
        """Try again while the breaker is open, so that no request has to."""
        while True:
            await self._opened.wait()
            await asyncio.sleep(self._breaker.next_pause())
            with suppress(CacheUnavailable):
                await self.connect()
                self._opened.clear()
                self._breaker.half_open()
                self.trouble = None
                log.info("redis_available")

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(self, seconds: float, command: Callable[[], Awaitable[Answer]]) -> Answer:
        if self.is_open:
            raise CacheUnavailable("the breaker is open")
        return await self._ask(seconds, command)

    async def _ask(self, seconds: float, command: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                # Cancelled, the client drops the connection: nobody gets an answer that comes too late.
                return await command()
        except TimeoutError:
            raise CacheUnavailable(f"no answer within {seconds:g} seconds") from None
        except CacheUnavailable:
            raise
        except Exception as error:  # whatever a cache does, reading goes on without it
            if refused := find_refused(error):
                authority = "?ssl_ca_certs=FILE behind ORDERKEEP_REDIS_URL"
                raise CacheUnavailable(why_refused("Redis", refused, authority)) from error
            raise CacheUnavailable(str(error) or type(error).__name__) from error

    async def _mget(self, keys: Sequence[str]) -> list[object]:
        values: list[object] = await self._client.mget(keys)
        if not isinstance(values, list) or len(values) != len(keys):
            raise CacheUnavailable("it answers something else than it was asked for")
        return values

    async def _eval(self, script: str, keys: Collection[str], *arguments: bytes | str | int) -> object:
        try:
            return await self._client.eval(script, len(keys), *keys, *arguments)
        except ResponseError as error:
            # It is there, and says no: its memory is full, it is a replica, or the user may only read.
            raise CacheUnavailable(f"Redis takes no writes: {error}") from error
