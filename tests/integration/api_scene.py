"""An API process without a broker, its clients that keep to no rule, and those that must not notice them."""

import re
import resource
import select
import selectors
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from orderkeep.storage.postgres_writer import PostgresWriter
from tests.conftest import Database
from tests.orders import order, orders_batch
from tests.service import PATIENCE, Process, Service, wait_until

LARGE = order("large", more="x" * 990_000)
ORDERS = {"a": order("a"), "b": order("b", locale="Ж"), "large": LARGE}
GET = b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSED = b""


def api_only(folder: Path, database: Database, env: dict[str, str] | None = None) -> Service:
    """A service whose ingest is never started: there is no broker."""
    return Service(
        folder,
        brokers="127.0.0.1:1",
        topic="orders",
        database_url=database.ingest_url,
        read_url=database.reader_url,
        env=env,
    )


async def store(database: Database, payloads: Sequence[bytes | None], first: int = 0) -> None:
    """Write them as ingest does: orders are stored, the rest are rejects."""
    writer = PostgresWriter(database.ingest_url)
    try:
        await writer.write(orders_batch(payloads, first))
    finally:
        await writer.close()


def cached(service: Service) -> int:
    return int(httpx.get(f"{service.url}/health/ready", timeout=PATIENCE).json()["cache"]["entries"])


def wait_until_cached(service: Service, count: int) -> None:
    wait_until(lambda: cached(service) >= count, "all are in memory")


def connect(service: "Service | LimitedApi", receive_buffer: int = 0) -> socket.socket:
    """A connection; with `receive_buffer` the system takes hardly more than so many bytes for it."""
    place = urlsplit(service.url)
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE)
    connection.connect((place.hostname, place.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def many_files(wanted: int) -> int:
    """As many connections as this process may open, at most `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, wanted + 2_000)), hard))
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1_000)


def memory(process: Process) -> int:
    """Bytes of memory that the process has resident now (proc(5): VmRSS)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


@contextmanager
def others(service: Service) -> Iterator[list[int]]:
    """Clients that read orders all the while, over old and new connections; fails when one was served badly.

    Yields the number of answers they have had.
    """
    counts = [0, 0]
    wrong: list[object] = []
    ended = threading.Event()

    def read(number: int) -> None:
        with httpx.Client(base_url=service.url, timeout=PATIENCE) as kept:
            while not ended.is_set() and not wrong:
                uid = "a" if counts[number] % 2 else "b"
                try:
                    path = f"/orders/{uid}"
                    answer = kept.get(path) if number else httpx.get(f"{service.url}{path}", timeout=PATIENCE)
                except httpx.HTTPError as error:
                    wrong.append(repr(error))
                    return
                if (answer.status_code, answer.content) != (200, ORDERS[uid]):
                    wrong.append((answer.status_code, answer.content[:200]))
                counts[number] += 1
                ended.wait(0.005)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    try:
        yield counts
        before = list(counts)
        wait_until(
            lambda: wrong or all(now > then for now, then in zip(counts, before, strict=True)), "more is read"
        )
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        assert not wrong, wrong  # here, since whoever waits for more answers waits in vain when one was wrong


class Flood:
    """Many connections at once, driven by one thread. Each sends what it is given as far as it is taken."""

    def __init__(self, service: "Service | LimitedApi") -> None:
        self._service = service
        self.connections: list[socket.socket] = []

    def __enter__(self) -> "Flood":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.close()

    def open(self, count: int, receive_buffer: int = 0) -> list[socket.socket]:
        """So many connections more, each made before the next."""
        made = [connect(self._service, receive_buffer) for _ in range(count)]
        self.connections += made
        return made

    @staticmethod
    def answers(connections: Sequence[socket.socket], seconds: float = PATIENCE) -> list[bytes]:
        """What each answers until it closes, or has answered a request whole."""
        answers = {connection: bytearray() for connection in connections}
        waiting = selectors.DefaultSelector()
        for each in connections:
            each.settimeout(seconds)
            waiting.register(each, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(seconds)
            assert ready, f"{len(waiting.get_map())} are not answered within {seconds:g} seconds"
            for key, _ in ready:
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                try:
                    data = connection.recv(262_144)
                except OSError:
                    data = CLOSED
                answers[connection] += data
                if not data or is_whole(answers[connection]):
                    waiting.unregister(connection)
        return [bytes(answers[connection]) for connection in connections]


def is_whole(answer: bytes | bytearray) -> bool:
    head, end, body = bytes(answer).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return bool(end) and length is not None and len(body) >= int(length[1])


def status(answer: bytes) -> int:
    """Of the first response; 0 when there is none."""
    line = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(line[1]) if line else 0


def is_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed or reset it, whatever is left to read."""
    polled = select.poll()
    polled.register(connection, select.POLLRDHUP)
    return bool(polled.poll(0))


def send_all_that_is_taken(connection: socket.socket, data: bytes) -> int:
    """Send without waiting: how many bytes were taken."""
    connection.setblocking(False)
    sent = 0
    with suppress(OSError):
        while sent < len(data):
            sent += connection.send(data[sent : sent + 262_144])
    return sent


class LimitedApi:
    """`orderkeep api` with the settings of a service, whose files are limited, as a system may do."""

    def __init__(self, service: Service, folder: Path, files: int) -> None:
        self.process = Process(folder, "limited", ["api", "--http-port=0"], service.env)
        self._files = files

    def __enter__(self) -> "LimitedApi":
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.process.launch()
        resource.prlimit(self.process.pid or 0, resource.RLIMIT_NOFILE, (self._files, self._files))
        started = self.process.wait_for("started")
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
        self.url: str = started["address"]
        self.limit: int = started["connections"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
