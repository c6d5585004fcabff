"""A URL with several hosts, as libpq's users write it, taken apart."""

import pytest

from orderkeep.errors import ConfigurationError
from orderkeep.storage.postgres_hosts import Branch, each_host

URLS = {
    "postgresql://u:p@a:1/db": ["postgresql://u:p@a:1/db"],
    "postgres:///db": ["postgres:///db"],
    "postgresql://u@a,b:2,[::1]:3/db": [
        "postgresql://u@a/db",
        "postgresql://u@b:2/db",
        "postgresql://u@[::1]:3/db",
    ],
    "postgresql://u:p%2C%40@a:1,b:2/db?sslmode=require&connect_timeout=3": [
        "postgresql://u:p%2C%40@a:1/db?sslmode=require",
        "postgresql://u:p%2C%40@b:2/db?sslmode=require",
    ],
    "postgresql:///db?host=a,b&port=1,2": ["postgresql://a:1/db", "postgresql://b:2/db"],
    "postgresql://u@/db?host=a,b&port=5433": ["postgresql://u@a:5433/db", "postgresql://u@b:5433/db"],
    "postgresql://u@/db?host=a,b": ["postgresql://u@a/db", "postgresql://u@b/db"],
    "postgresql:///db?host=/run/a,/run/b": ["postgresql://%2Frun%2Fa/db", "postgresql://%2Frun%2Fb/db"],
    "postgresql:///db?host=/run/postgresql": ["postgresql:///db?host=%2Frun%2Fpostgresql"],
}


@pytest.mark.parametrize("url", URLS)
def test_each_host(url: str) -> None:
    """Every host gets a URL of its own, with all that concerns the server and nothing that asyncpg lacks."""
    assert each_host(url)[0] == URLS[url]


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:secret@host:many/db", "postgresql://u:secret@[::1/db", "postgresql://u:sec/ret@a:1/db"],
)
def test_not_a_url(url: str) -> None:
    """What cannot be taken apart is refused in words that do not repeat the password."""
    with pytest.raises(ConfigurationError, match="not of the form") as refusal:
        each_host(url)
    assert "sec" not in str(refusal.value)


def test_attribute() -> None:
    """target_session_attrs is about the choice between hosts, and said apart."""
    urls, attribute = each_host("postgresql://a,b/db?target_session_attrs=prefer-standby&options=-cx%3D1")
    assert attribute == "prefer-standby"
    assert urls == ["postgresql://a/db?options=-cx%3D1", "postgresql://b/db?options=-cx%3D1"]


def test_branches() -> None:
    """A promoted server replaces the one before, not the other way round; another cluster replaces any."""
    old, new = Branch("1", "00000009"), Branch("1", "0000000A")
    assert new.replaces(old)
    assert not old.replaces(new)
    assert not old.replaces(old)
    assert Branch("2", "00000001").replaces(new)
