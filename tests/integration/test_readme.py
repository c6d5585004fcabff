"""What the documents show is done: every command and statement of the README, and the answers of the API."""

import argparse
import asyncio
import calendar
import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from orderkeep.embedded import KafkaServer, PostgresServer, remove
from tests.conftest import Database, start_or_skip
from tests.documents import DOCUMENTS, ROOT, Block, blocks, commands, statements
from tests.orders import MODEL, order
from tests.server_sent_events import events
from tests.service import PATIENCE, Process, Service, run_command, wait_until

README = "README.md"
FOR_REAL = "Run it for real"
DATABASE = "orderkeep"
CHANGING = ("date", "link", "content-length")
"""Headers with another value each time."""
DAY_OR_MONTH = rf"\b({'|'.join([*calendar.day_abbr, *list(calendar.month_abbr)[1:]])})\b"
STATEMENTS = [
    pytest.param(statement, id=f"{file.name}-{number}")
    for file in DOCUMENTS
    if file.parent.name == "docs"
    for number, statement in enumerate(
        statement
        for block in blocks(str(file.relative_to(ROOT)))
        if block.language == "sql"
        for statement in statements(block)
    )
]


class Household:
    """A machine with PostgreSQL and Kafka on which somebody follows the README, in a folder of their own."""

    def __init__(self, folder: Path, postgres: PostgresServer, kafka: KafkaServer) -> None:
        (folder / "tests").symlink_to(ROOT / "tests")
        self.folder, self.postgres, self.kafka = folder, postgres, kafka
        self.serving = Process(folder, "serve", ["serve", "--http-port=0", "--ingest-port=0"], {})
        self.url = ""

    def follow(self, block: Block) -> None:
        """Do what a block of the README says. Fails for a command that nobody has said how to run."""
        if block.language == "sh":
            for command in commands(block):
                assert command in RUNNERS, f"README shows `{command}`: add how to run it to RUNNERS"
                RUNNERS[command](self, command)
        elif block.language == "sql":
            for statement in statements(block):
                self.query(statement)
        elif block.language == "ini":
            text = block.text.replace("localhost:5432", f"{self.postgres.host}:{self.postgres.port}")
            (self.folder / ".env").write_text(text.replace("localhost:9092", self.kafka.bootstrap))

    def query(self, sql: str) -> list[asyncpg.Record]:
        """A statement of the superuser; those that make something are not in the new database yet."""
        database = DATABASE if sql.startswith("select") else "postgres"
        return ask(self.postgres.url(database=database), sql)

    def run(self, command: str) -> str:
        """Run `orderkeep …`, as the README writes it: what it prints."""
        done = run_command(self.folder, shlex.split(command)[1:])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def send(self, payload: bytes) -> None:
        (self.folder / "message").write_bytes(payload)
        self.run("orderkeep publish --file message")


def make(_: Household, command: str) -> None:
    """What make would do; whether that works is for other tests, and for those who run this one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    dry = shlex.split(command.replace("make", "make --dry-run", 1))
    subprocess.run(dry, cwd=ROOT, env=environment, check=True, capture_output=True)


def migrate(house: Household, command: str) -> None:
    assert "migrations applied" in house.run(command)
    assert house.run(command) == "the database is up to date\n"


def serve(house: Household, command: str) -> None:
    assert shlex.split(command)[1:] == ["serve"]
    house.url = house.serving.start()["address"]
    wait_until(lambda: answers(house.url), "the API answers")
    assert httpx.get(house.url).status_code == 200


def publish(house: Household, command: str) -> None:
    assert house.run(command).startswith("published 1 of 1 messages")


def curl(house: Household, command: str) -> None:
    url = shlex.split(command)[-1].replace("http://127.0.0.1:8080", house.url)
    wait_until(lambda: httpx.get(url).status_code == 200, "the order is served")
    assert httpx.get(url).content == MODEL


def audit(house: Household, command: str) -> None:
    assert "missing 0" in house.run(command)


RUNNERS: dict[str, Callable[[Household, str], None]] = {
    "make demo": make,
    "make demo ARGS='--for 20s --json'": make,
    "make test": make,
    "make chaos": make,
    "make install": make,
    ".venv/bin/orderkeep migrate": migrate,
    ".venv/bin/orderkeep serve": serve,
    ".venv/bin/orderkeep publish --file tests/data/order.json": publish,
    "curl -i http://127.0.0.1:8080/orders/b563feb7b2b84b6test": curl,
    ".venv/bin/orderkeep audit": audit,
}
"""How to run each command of the README."""


@pytest.fixture
def household(servers_folder: Path, kafka: KafkaServer, tmp_path: Path) -> Iterator[Household]:
    """PostgreSQL with nothing in it, and the topic, which Orderkeep does not make."""
    postgres = PostgresServer(servers_folder / "postgres-readme")
    start_or_skip(postgres)
    kafka.create_topic("orders")
    made = Household(tmp_path, postgres, kafka)
    try:
        yield made
    finally:
        code = made.serving.stop()
        kafka.delete_topic("orders")
        postgres.stop("immediate")
    assert not code, made.serving.output()


def test_what_the_readme_shows(household: Household) -> None:
    """Somebody who follows the README has the service running; all it shows works."""
    shown = blocks(README)
    for block in (block for block in shown if block.section == FOR_REAL):
        household.follow(block)
    household.send(b"not an order")
    wait_until(lambda: household.query("select from rejected_messages"), "the message is kept aside")
    for block in (block for block in shown if block.section != FOR_REAL):
        household.follow(block)
    (rejects,) = [statements(block)[0] for block in shown if "from rejected_messages" in block.text]
    assert [reject["kind"] for reject in household.query(rejects)] == ["not_json"]


def test_runners() -> None:
    """Nothing is run in the name of the README that it does not show."""
    shown = {line for block in blocks(README) if block.language == "sh" for line in commands(block)}
    assert RUNNERS.keys() == shown


@pytest.mark.usefixtures("kafka")
def test_demo(tmp_path: Path) -> None:
    """A demo of some seconds proves itself, and prints the live line and the object that the README shows."""
    data = tmp_path / "demo"
    arguments = ["demo", "--for", "6s", "--json", "--http-port=0", f"--data={data}"]
    try:
        done = run_command(tmp_path, arguments)
    finally:
        for server in ("postgres", "kafka"):
            remove(data / server)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    outcomes = [report[name] for name in ("stored", "duplicate", "rejected", "conflict")]
    assert sum(outcomes) == report["published"] > 0
    assert (report["missing"], report["get_wrong"]) == (0, 0)
    assert report["get_checked"] == report["stored"]
    assert report["restored"] > 0

    shown = {block.language: block.text for block in blocks(README)}
    assert shape(report) == shape(json.loads(shown["json"]))
    address, line = shown["text"].splitlines()
    assert alike(address, done.stderr)
    assert alike(line.partition("   seen")[0], done.stderr)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statements_of_the_documents(database: Database, statement: str) -> None:
    """The statements in the documents suit the tables."""
    database.fetch(statement)


@pytest.mark.parametrize("number", range(sum(block.language == "http" for block in blocks("docs/api.md"))))
def test_answers_of_the_api(service: Service, number: int) -> None:
    """The API answers as its document shows."""
    service.publish([MODEL])
    service.publish([order("one-more")])  # after it, so that it is the newest
    pairs = [block for block in blocks("docs/api.md") if block.language in ("sh", "http")]
    request, shown = pairs[2 * number : 2 * number + 2]
    head, _, body = shown.text.partition("\n\n")
    with ask_like_curl(service.url, *commands(request)) as answer:
        assert_head(answer, head)
        if answer.headers.get("content-type") == "text/event-stream":
            service.publish([order(f"told-{time.monotonic_ns()}")])
            service.send([b"garbage"])
            assert_events(answer, body)
        else:
            answer.read()
            assert_like(answer, body.strip())


def assert_head(answer: httpx.Response, shown: str) -> None:
    status, *headers = shown.splitlines()
    assert f"{answer.http_version} {answer.status_code} {answer.reason_phrase}" == status
    for name, value in (header.split(": ", 1) for header in headers):
        assert alike(value, answer.headers[name]) if name in CHANGING else answer.headers[name] == value


def assert_events(answer: httpx.Response, shown: str) -> None:
    """The stream has events like those that are shown, in that order."""
    told = events(line.encode() for line in answer.iter_lines())
    for wanted in events(iter(shown.encode().splitlines())):
        next(one for one in told if (one.name, shape(one.data)) == (wanted.name, shape(wanted.data)))


CURL = argparse.ArgumentParser("curl")
CURL.add_argument("-i", "--include", action="store_true")
CURL.add_argument("-I", "--head", action="store_true")
CURL.add_argument("-N", "--no-buffer", action="store_true")
CURL.add_argument("-H", "--header", action="append", default=[])
CURL.add_argument("--data-binary")
CURL.add_argument("url")


def ask_like_curl(url: str, command: str) -> AbstractContextManager[httpx.Response]:
    """What curl would be answered; a command before it, such as sed, is run for what curl is to send."""
    before, _, curl = command.rpartition(" | ")
    program, *arguments = shlex.split(curl)
    assert program == "curl"
    given = CURL.parse_args(arguments)
    body = (
        subprocess.run(shlex.split(before), cwd=ROOT, check=True, capture_output=True).stdout
        if before
        else b""
    )
    if given.data_binary and not before:
        body = (ROOT / given.data_binary.removeprefix("@")).read_bytes()
    method = "HEAD" if given.head else "POST" if body else "GET"
    parts = urlsplit(given.url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    headers = dict(header.split(": ", 1) for header in given.header)
    return httpx.stream(method, url + path, headers=headers, content=body, timeout=PATIENCE)


def assert_like(answer: httpx.Response, shown: str) -> None:
    """An order to the byte, as far as it is shown; of anything else the form."""
    if answer.content == MODEL:
        assert answer.text.startswith(shown.removesuffix("…").rstrip())
    elif shown:
        assert shape(answer.json()) == shape(json.loads(shown))
    else:
        assert not answer.content


def shape(value: Any) -> Any:
    """The names in a document of JSON, and how they nest."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else "a value"


def alike(shown: str, said: str) -> bool:
    """Whether it is said, with any days, numbers and ids."""
    pattern = re.sub(r"\d[\w,.:\\-]*", lambda _: r"[\w,.:-]+", re.escape(shown))
    pattern = re.sub(DAY_OR_MONTH, lambda _: DAY_OR_MONTH, pattern)
    return re.search(pattern, said) is not None


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def ask(url: str, sql: str) -> list[asyncpg.Record]:
    with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
        return elsewhere.submit(asyncio.run, _fetch(url, sql)).result()


async def _fetch(url: str, sql: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()
