"""Which caches an API process has, by the settings: in its memory, in Redis, or both."""

from collections.abc import Awaitable, Callable

from orderkeep.cache.memory import MemoryCache
from orderkeep.cache.redis import RedisCache
from orderkeep.errors import ConfigurationError
from orderkeep.settings import Settings


def memory_of(settings: Settings) -> MemoryCache:
    """The cache in memory; one without room where there is Redis alone."""
    max_bytes = 0 if settings.cache == "redis" else settings.cache_max_bytes
    return MemoryCache(max_bytes, settings.cache_max_orders)


def redis_of(settings: Settings, identify: Callable[[], Awaitable[str]]) -> RedisCache | None:
    """The cache in Redis, where it is asked for, of the database that `identify` tells.

    Nothing is connected yet. Raises `ConfigurationError`.
    """
    if settings.cache == "memory":
        return None
    try:
        from orderkeep.cache.redis_connection import RedisConnection
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"ORDERKEEP_CACHE is {settings.cache}, and its client is not here: install orderkeep[redis]"
        ) from None
    return RedisCache(
        RedisConnection(settings.redis_url, settings.redis_deadline_seconds, settings.redis_prefix),
        identify,
        prefix=settings.redis_prefix,
        ttl=settings.redis_ttl_seconds,
        max_bytes=settings.cache_max_bytes,
    )
