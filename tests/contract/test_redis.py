"""What the cache in Redis promises besides: whatever Redis does, reading goes on, and nothing is wrong."""

import asyncio
import random
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from valkey import Valkey

from orderkeep.cache import redis as redis_cache
from orderkeep.cache import redis_connection
from orderkeep.cache.entry import render_payload
from orderkeep.cache.redis import RedisCache, RedisStatus
from orderkeep.cache.redis_connection import READERS, RedisConnection
from orderkeep.cache.redis_value import LONGEST, pack
from orderkeep.embedded import RedisServer
from orderkeep.embedded.ports import choose
from orderkeep.errors import ConfigurationError, DatabaseUnavailable
from tests.contract.caches import PATIENT, RedisCaches
from tests.documents import read
from tests.tls import in_front_of

SHORT = 0.05
PATIENCE = 60.0
ENTRY = render_payload(b'{"a": 1}')


@pytest.fixture
def caches(redis: RedisServer) -> RedisCaches:
    return RedisCaches(redis.url)


@pytest.fixture
def admin(redis: RedisServer) -> Iterator[Valkey]:
    """A client that looks at the server from outside, and changes what is in it."""
    with Valkey(host=redis.host, port=redis.port) as client:
        yield client


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to be broken."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


async def eventually(condition: Callable[[], Any], what: str) -> None:
    """Wait until it is true; a coroutine is awaited."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = condition()
            if await answer if asyncio.iscoroutine(answer) else answer:
                return
            await asyncio.sleep(0.02)
    raise AssertionError(what)


async def keep(caches: RedisCaches, cache: RedisCache, *uids: str) -> None:
    for uid in uids:
        await cache.put_read(uid, ENTRY)
    await caches.settle(cache)


async def comes_back(caches: RedisCaches, cache: RedisCache, uid: str = "later") -> None:
    """Wait until it is used again: what is put is found."""

    async def is_found() -> bool:
        await keep(caches, cache, uid)
        return await cache.get(uid) == ENTRY

    await eventually(is_found, "Redis is used again")


def key(caches: RedisCaches, uid: str) -> str:
    return f"{caches.prefix}:1:{caches.database}:{uid}"


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"x",
        b"x" * 5_000,
        pack("a", b'{"a": 1}')[:-1],
        pack("a", b'{"a": 1}') + b" ",
        pack("a", b'{"a": 1}')[1:],
        pack("a", b'{"a": 1}').replace(b"1", b"2"),
        pack("b", b'{"a": 1}'),
        b'{"a": 1}',
    ],
    ids=["empty", "short", "long", "cut", "longer", "shifted", "changed", "of another uid", "bare"],
)
async def test_wrong_bytes(caches: RedisCaches, admin: Valkey, wrong: bytes) -> None:
    """What was not written for this uid is not served, is counted, and gives way to what is right."""
    async with caches.opened() as cache:
        admin.set(key(caches, "a"), wrong)
        await keep(caches, cache, "other")
        assert await cache.get_many(["a", "other"]) == {"other": ENTRY}
        assert cache.reads == {"hit": 1, "wrong": 1, "miss": 0}
        await comes_back(caches, cache, "a")


@pytest.mark.parametrize("kind", ["list", "hash", "set"])
async def test_wrong_type(caches: RedisCaches, admin: Valkey, kind: str) -> None:
    """A key of ours that holds no string is a miss, and gives way as well."""
    make = {
        "list": admin.lpush,
        "hash": lambda name, value: admin.hset(name, value, value),
        "set": admin.sadd,
    }
    make[kind](key(caches, "a"), "value")
    async with caches.opened() as cache:
        assert await cache.get("a") is None
        await comes_back(caches, cache, "a")


async def test_time_to_live(caches: RedisCaches, admin: Valkey) -> None:
    """No key stays for ever, neither an order's nor the filler's."""
    async with caches.opened(ttl=50) as cache:
        await keep(caches, cache, "a", "b")
        lives: dict[Any, Any] = {name: admin.ttl(name) for name in admin.scan_iter(f"{caches.prefix}:*")}
    assert len(lives) == 3
    assert all(0 < seconds <= 50 for seconds in lives.values())


async def test_compact(caches: RedisCaches, admin: Valkey) -> None:
    """A value is the order and 16 bytes more: what an answer says besides is made anew."""
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
        assert admin.strlen(key(caches, "a")) == len(b'{"a": 1}') + 16


async def test_another_database(caches: RedisCaches) -> None:
    """Nothing of one database is found for another, as after a restore; nor under another prefix."""
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
        assert await cache.get("a") == ENTRY
        caches.database = "1.1.2"
        await cache._check()
        assert await cache.get("a") is None
    other = RedisCaches(caches.url)
    async with other.opened() as cache:
        assert await cache.get("a") is None


async def test_database_away(caches: RedisCaches, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody can say which database it is, it is the one that it was; before anybody could, none."""
    answers: list[str | Exception] = ["1.1.1"]

    async def identify() -> str:
        if isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[-1]

    monkeypatch.setattr(caches, "_identify", identify)
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
        answers.append(DatabaseUnavailable("away"))
        await cache._check()
        assert await cache.get("a") == ENTRY
    async with caches.opened() as cache:
        await keep(caches, cache, "b")
        assert await cache.get("a") is None
        assert cache.status().status == "unavailable"
        answers.append("1.1.1")
        await cache._check()
        assert await cache.get_many(["a", "b"]) == {"a": ENTRY}


async def test_too_large(caches: RedisCaches) -> None:
    """An order that would hold up the others is not kept."""
    async with caches.opened() as cache:
        await cache.put_read("fits", render_payload(b"x" * LONGEST))
        await cache.put_read("large", render_payload(b"x" * (LONGEST + 1)))
        assert await cache.put_older("older", render_payload(b"x" * (LONGEST + 1)))
        await caches.settle(cache)
        assert set(await cache.get_many(["fits", "large", "older"])) == {"fits"}


async def test_restore_is_bounded(caches: RedisCaches) -> None:
    """A restore writes as many bytes as it may, then is told that there is no room; the next may again."""
    async with caches.opened(max_bytes=3 * 8) as cache:
        for _ in range(2):
            cache.begin_restore()
            assert [await cache.put_older(f"uid-{number}", ENTRY) for number in range(5)] == [True] * 3 + [
                False
            ] * 2


async def test_a_large_restore(caches: RedisCaches) -> None:
    """More than may wait to be written is written all the same: a restore waits, and loses nothing."""
    uids = [f"uid-{number}" for number in range(3 * redis_cache.WAITING_WRITES)]
    async with caches.opened() as cache:
        cache.begin_restore()
        assert all([await cache.put_older(uid, ENTRY) for uid in uids])
        await caches.settle(cache)
        assert len(await cache.get_many(uids)) == len(uids)
        assert cache.writes == {"written": len(uids)}


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
async def test_the_filler_leaves(
    caches: RedisCaches, monkeypatch: pytest.MonkeyPatch, *, killed: bool
) -> None:
    """When the process that fills ends, another does: at once if it said so, else after a while."""
    monkeypatch.setattr(redis_cache, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(redis_cache, "FILLER_SECONDS", 1 if killed else 600)
    async with AsyncExitStack() as stack:
        async with caches.opened() as first:
            assert first.status().fills
            second = await stack.enter_async_context(caches.opened())
            assert not second.status().fills
            first._fills = not killed
        await eventually(lambda: second.status().fills, "the second fills")


async def test_killed(own: RedisServer) -> None:
    """A server that is killed costs a few failures, then nothing; when it is back, it is used."""
    caches = RedisCaches(own.url)
    async with caches.opened(deadline=PATIENT) as cache:
        await keep(caches, cache, "a")
        own.kill()
        while not cache.breaker_is_open:
            assert await cache.get("a") is None
        failed = cache.reads["failed"]
        assert await cache.get_many(["a", "b"]) == {}
        assert (cache.reads["failed"], cache.reads["skipped"]) == (failed, 2)
        assert cache.status().status == "unavailable"
        own.start()
        await comes_back(caches, cache)
        assert cache.status().status == "ok"


async def test_restarted(own: RedisServer) -> None:
    """A restart costs no more than the connections that were open."""
    caches = RedisCaches(own.url)
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
        own.stop()
        own.start()
        await comes_back(caches, cache, "a")
        assert cache.reads["failed"] <= READERS


async def test_flushed(own: RedisServer) -> None:
    """What was thrown away is read and kept again, and one process goes on filling."""
    caches = RedisCaches(own.url)
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
        with Valkey(port=own.port) as admin:
            admin.flushall()
        assert await cache.get("a") is None
        await keep(caches, cache, "a")
        await cache._check()
        assert await cache.get("a") == ENTRY
        assert cache.status().fills


async def test_hanging(own: RedisServer) -> None:
    """While the server hangs, reads wait for a deadline at most three times, then not at all."""
    caches = RedisCaches(own.url)
    async with caches.opened(deadline=SHORT) as cache:
        await comes_back(caches, cache, "a")
        own.pause()
        for _ in range(200):
            assert await cache.get("a") is None
        assert cache.reads["failed"] <= 4  # with one of a check in between
        assert cache.breaker_is_open
        own.resume()
        await comes_back(caches, cache, "a")


async def test_late_answers(own: RedisServer) -> None:
    """An answer that comes after its deadline is never taken for that of a later question."""
    caches, dice = RedisCaches(own.url), random.Random(1)
    entries = {f"uid-{number}": render_payload(b"%d" % number) for number in range(50)}
    async with caches.opened(deadline=0.02) as cache:
        ended = False

        async def read() -> int:
            found = 0
            while not ended:
                uids = dice.sample(sorted(entries), 5)
                for uid, entry in (await cache.get_many(uids)).items():
                    assert entry == entries[uid]
                    found += 1
                await asyncio.sleep(0.001)
            return found

        readers = [asyncio.create_task(read()) for _ in range(4)]
        for _ in range(10):
            for uid, entry in entries.items():
                await cache.put_read(uid, entry)
            await asyncio.sleep(dice.uniform(0, 0.1))
            own.pause()
            await asyncio.sleep(dice.uniform(0, 0.1))
            own.resume()
        await comes_back(caches, cache)
        ended = True
        await asyncio.gather(*readers)
        assert cache.reads["failed"] > 0
        assert cache.reads["wrong"] == 0


async def test_passwords(own: RedisServer) -> None:
    """A wrong password, or none, is told in the status and breaks nothing; the right one is taken."""
    own.stop()
    own.settings["requirepass"] = "s3cret"
    own.start()
    for login in ("", ":wrong@", "nobody:s3cret@"):
        caches = RedisCaches(f"redis://{login}127.0.0.1:{own.port}/0")
        async with caches.opened() as cache:
            await keep(caches, cache, "a")
            while not cache.breaker_is_open:
                assert await cache.get("a") is None
            assert cache.status().status == "unavailable"
            assert "wrong@" not in str(cache.status().detail)
    caches = RedisCaches(f"redis://:s3cret@127.0.0.1:{own.port}/0")
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
        assert await cache.get("a") == ENTRY


async def test_no_memory(own: RedisServer) -> None:
    """A server that takes no more goes on being read, and the status says why nothing is written."""
    caches = RedisCaches(own.url)
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
        with Valkey(port=own.port) as admin:
            admin.config_set("maxmemory", 1)
            await keep(caches, cache, "b")
            assert await cache.get_many(["a", "b"]) == {"a": ENTRY}
            status = cache.status()
            assert (status.status, "maxmemory" in str(status.detail), cache.breaker_is_open) == (
                "ok",
                True,
                False,
            )
            assert cache.writes == {"written": 1, "failed": 1}
            admin.config_set("maxmemory", 0)
        await keep(caches, cache, "b")
        assert await cache.get_many(["a", "b"]) == {"a": ENTRY, "b": ENTRY}
        assert cache.status().detail is None


async def test_read_only(own: RedisServer) -> None:
    """A user who may only read finds what others have written."""
    caches = RedisCaches(own.url)
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
    with Valkey(port=own.port) as admin:
        admin.execute_command("ACL SETUSER reader on >pass ~* +@read +@connection")
    caches.url = f"redis://reader:pass@127.0.0.1:{own.port}/0"
    async with caches.opened() as cache:
        await keep(caches, cache, "b")
        assert await cache.get_many(["a", "b"]) == {"a": ENTRY}
        assert not cache.breaker_is_open


async def test_documented_rights(own: RedisServer) -> None:
    """The rights that the documentation gives are enough to read, to write and to fill."""
    (line,) = re.findall(r"^ACL SETUSER .*$", read("docs/cache.md"), re.MULTILINE)
    with Valkey(port=own.port) as admin:
        admin.execute_command(line)
    caches = RedisCaches(f"redis://orderkeep:password@127.0.0.1:{own.port}/1")
    caches.prefix = "orderkeep"
    async with caches.opened() as cache:
        await keep(caches, cache, "a")
        assert await cache.get("a") == ENTRY
        assert cache.status() == RedisStatus("ok", None, fills=True)


async def test_tls(redis: RedisServer, tmp_path: Path) -> None:
    """Over TLS the server has to show a certificate of an authority that is trusted, and of its name."""
    async with in_front_of(redis.port, tmp_path) as secured:
        caches = RedisCaches(f"rediss://localhost:{secured.port}/0?ssl_ca_certs={secured.authority}")
        async with caches.opened() as cache:
            await keep(caches, cache, "a")
            assert await cache.get("a") == ENTRY
        for url, remedy in (
            (f"rediss://localhost:{secured.port}/0", "name the authority that signed it by ?ssl_ca_certs"),
            (f"rediss://127.0.0.1:{secured.port}/0?ssl_ca_certs={secured.authority}", "connect by a name"),
        ):
            caches.url = url
            async with caches.opened() as cache:
                while not cache.breaker_is_open:
                    assert await cache.get("a") is None
                assert "the certificate of Redis is refused" in str(cache.status().detail)
                assert remedy in str(cache.status().detail)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that says the same to everything, and then whatever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65_536):
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*1\r\n$1\r\nx\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n*1\r\n$1\r\nx\r\n",
        b"*1\r\n$100\r\nx\r\n",
        b"*2\r\n$-1\r\n$-1\r\n",
        b"-ERR unknown command\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"$999999999999\r\n",
        b"*-5\r\n",
        b"\0\xff" * 50,
        b"+OK\r\n*1\r\n$1\r\nx\r\n",
    ],
    ids=repr,
)
async def test_no_redis(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else listens there, and whatever it says, nothing is found and nothing fails."""
    monkeypatch.setattr(redis_cache, "START_SECONDS", SHORT)
    monkeypatch.setattr(redis_connection, "WRITE_SECONDS", SHORT)
    async with answering(answer) as url:
        caches = RedisCaches(url)
        async with caches.opened(deadline=SHORT) as cache:
            for _ in range(10):
                assert await cache.get("a") is None
                await keep(caches, cache, "a")


async def test_nobody(caches: RedisCaches) -> None:
    """Where nobody listens, or nobody answers at all, a start does not wait for it."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        silent.listen()
        for port in (choose(None, "nobody"), silent.getsockname()[1]):
            caches.url = f"redis://127.0.0.1:{port}/0"
            async with caches.opened(deadline=SHORT) as cache:
                while not cache.breaker_is_open:
                    assert await cache.get("a") is None
                assert await cache.get("a") is None


@pytest.mark.parametrize(
    "url", ["redis://localhost:port", "redis://:pass/word@localhost", "redis://localhost?nonsense=1"]
)
def test_url(url: str) -> None:
    """A URL that cannot be used is refused at the start, and no part of a password is repeated."""
    with pytest.raises(ConfigurationError, match="ORDERKEEP_REDIS_URL cannot be read") as caught:
        RedisConnection(url, 1.0, "orderkeep")
    assert "pass/" not in str(caught.value)


async def test_erased_while_it_takes_no_writes(caches: RedisCaches, admin: Valkey) -> None:
    """What could not be removed at once is not served, and removed as soon as Redis takes writes again."""
    async with caches.opened() as cache:
        await cache.put_read("a", ENTRY)
        await caches.settle(cache)
        admin.config_set("maxmemory", "1")
        try:
            await cache.erase(["a"])
            assert await cache.get("a") is None
        finally:
            admin.config_set("maxmemory", "0")
        await caches.settle(cache)
    assert not list(admin.scan_iter(f"{caches.prefix}:*:a"))
