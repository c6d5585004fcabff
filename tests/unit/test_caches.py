"""Which caches an API process has, by the settings."""

import sys

import pytest

from orderkeep.caches import memory_of, redis_of
from orderkeep.errors import ConfigurationError
from orderkeep.settings_load import load


async def identify() -> str:
    return ""


def test_caches() -> None:
    """Redis alone leaves no room in the memory; only both may hold a number of orders there."""
    assert load({"cache": "both", "cache_max_orders": 100}).cache_max_orders == 100
    assert redis_of(load(), identify) is None
    assert memory_of(load({"cache": "redis"})).statistics().max_bytes == 0
    assert memory_of(load({"cache": "both"})).statistics().max_bytes == load().cache_max_bytes
    assert redis_of(load({"cache": "both"}), identify) is not None


def test_client_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client of Redis the line says what to install."""
    monkeypatch.setitem(sys.modules, "orderkeep.cache.redis_connection", None)
    with pytest.raises(ConfigurationError, match=r"install orderkeep\[redis\]"):
        redis_of(load({"cache": "redis"}), identify)
