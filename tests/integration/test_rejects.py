"""Rejects as people work with them: every kind published for real, and each command run for real."""

import json
import signal
import stat
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orderkeep.errors import Rejected
from orderkeep.order import decode
from orderkeep.publish.broken import BREAKAGES, broken
from orderkeep.publish.draw import Draw
from orderkeep.publish.generate import OrderGenerator
from orderkeep.publish.kafka import KafkaPublisher
from orderkeep.publish.message import GeneratedMessage
from tests.conftest import Database
from tests.orders import order
from tests.service import Process, Service, wait_until

from .conftest import MakeService


def every_kind() -> list[tuple[bytes | None, str]]:
    """A message of each kind that can be broken, with the kind of reject that becomes of it, if any."""
    draw, orders = Draw(3, "rejects"), OrderGenerator(3)
    first = orders.order()
    messages: list[tuple[bytes | None, str]] = [(first.payload, "")]
    for kind, breakage in BREAKAGES.items():
        payload = broken(kind, draw, orders.order() if breakage.expected == "rejected" else first).payload
        messages.append(
            (payload, {"conflict": "conflict", "duplicate": ""}.get(breakage.expected) or why(payload))
        )
    return messages


def why(payload: bytes | None) -> str:
    try:
        decode(payload)
    except Rejected as error:
        return error.kind
    return ""


MESSAGES = [*every_kind(), (b"\xff\xfe\x00", "not_utf8"), (b"\x1b[31mred\x1b]0;title\x07", "not_json")]
KEPT = [(position, payload, kind) for position, (payload, kind) in enumerate(MESSAGES) if kind]


@pytest.fixture(scope="module")
def filled(service: Service) -> Service:
    """The service with all of them read. They have one key, and so are in one partition, in order."""
    publisher = KafkaPublisher(service.brokers, service.topic)
    for payload, _ in MESSAGES:
        publisher.send(GeneratedMessage(b"\x00key", payload, "given", None, None))
    publisher.flush(60)
    publisher.close()
    service.wait_until_acknowledged()
    return service


@pytest.fixture(scope="module")
def client(filled: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=filled.url, timeout=60) as client:
        yield client


def answer(service: Service, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = service.command("rejects", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def printed(service: Service, *arguments: str) -> str:
    done = service.command("rejects", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def content(found: dict[str, Any]) -> bytes | None:
    """The payload that the JSON of a reject stands for."""
    if found["text"] is not None:
        return str(found["text"]).encode()
    return None if found["base64"] is None else b64decode(found["base64"])


def audited(service: Service) -> dict[str, int]:
    report = service.audit()
    assert report["exit_code"] == 0, report["problems"]
    return {name: report[name] for name in ("stored", "duplicate", "rejected", "conflict")}


def test_list(filled: Service) -> None:
    """Every broken message is listed with its kind, place and size, the newest first; filters leave out."""
    found = answer(filled, "list")
    told = {(one["position"], one["kind"], one["size"]) for one in found}
    assert told == {(position, kind, None if text is None else len(text)) for position, text, kind in KEPT}
    assert [one["id"] for one in found] == sorted((one["id"] for one in found), reverse=True)
    assert all(one["topic"] == filled.topic and one["reason"] for one in found)
    for kind in ("invalid", "lone_surrogate"):
        kept = [one for one in found if one["kind"] == kind]
        assert answer(filled, "list", "--kind", kind) == kept != []
    assert len(answer(filled, "list", "--limit", "3")) == 3
    assert len(answer(filled, "list", "--topic", filled.topic, "--since", "1h")) == len(KEPT)
    for nothing in (
        ["--topic", "other"],
        ["--until", "1h"],
        ["--since", "2999-01-01"],
        ["--kind", "database"],
    ):
        assert answer(filled, "list", *nothing) == []
        assert printed(filled, "list", *nothing) == "no rejects\n"


def test_list_as_text(filled: Service) -> None:
    """The list has a line for each, and nothing that a terminal would obey."""
    text = printed(filled, "list")
    assert len(text.splitlines()) == len(KEPT) + 1
    assert all(character.isprintable() or character == "\n" for character in text)


def test_show(filled: Service) -> None:
    """Each is shown with its reason, as text where it is some, else in hex; nothing commands the terminal."""
    for one in answer(filled, "list"):
        payload = MESSAGES[one["position"]][0]
        shown = printed(filled, "show", str(one["id"]))
        assert one["reason"] in shown
        assert not {"\x1b", "\x07"}.intersection(shown)
        holds = shown.partition("\n\n")[2]
        if one["kind"] == "not_utf8":
            assert undumped(holds) == payload
        elif payload and one["kind"] not in ("conflict", "not_json"):
            assert holds.encode() == payload + b"\n"


@pytest.mark.parametrize("kind", ["not_utf8", "nul", "tombstone"])
def test_show_exactly(filled: Service, kind: str) -> None:
    """In JSON, and in hex when asked, not a byte is lost."""
    one = answer(filled, "list", "--kind", kind, "--limit", "1")[0]
    payload = MESSAGES[one["position"]][0]
    assert content(answer(filled, "show", str(one["id"]))) == payload
    assert undumped(printed(filled, "show", str(one["id"]), "--hex").partition("\n\n")[2]) == (payload or b"")


def undumped(text: str) -> bytes:
    return b"".join(bytes.fromhex(line[10:58]) for line in text.splitlines())


def test_conflict(filled: Service, client: httpx.Client) -> None:
    """A conflict is shown with the order that is stored under its uid."""
    (one,) = answer(filled, "list", "--kind", "conflict")
    found = answer(filled, "show", str(one["id"]))
    assert found["stored_text"].encode() == MESSAGES[0][0]
    assert content(found) != MESSAGES[0][0]
    text = printed(filled, "show", str(one["id"]))
    assert f"stored as {one['order_uid']}" in text or "stored under its uid" in text
    assert client.get(f"/rejects/{one['id']}").json() == found


def test_replay_of_what_stays(filled: Service) -> None:
    """Replays of what is still no order change nothing, however often; the audit is clean all the time."""
    before = answer(filled, "list")
    outcomes = audited(filled)
    for _ in range(2):
        report = answer(filled, "replay", "--all")
        assert report["outcomes"] == {"rejected": len(KEPT) - 1, "conflict": 1}
        assert audited(filled) == outcomes
    after = answer(filled, "list")
    assert [{**one, "replayed": None} for one in after] == [{**one, "replayed": None} for one in before]
    assert {(one["kind"] == "conflict", one["replayed"]) for one in after} == {
        (True, "conflict"),
        (False, "rejected"),
    }
    number = after[0]["id"]
    report = answer(filled, "replay", str(number))
    assert [(one["reject_id"], one["outcome"]) for one in report["rejects"]] == [
        (number, after[0]["replayed"])
    ]
    assert f"reject {number}: " in printed(filled, "replay", str(number))


def test_export(filled: Service, tmp_path: Path) -> None:
    """An export has every reject, oldest first, with all of its bytes, in a file for its owner alone."""
    file = tmp_path / "rejects.jsonl"
    done = filled.command("rejects", "export", "--output", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert str(len(KEPT)) in done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in file.read_text().split("\n")[:-1]]
    # By id, which is the order of their transactions: two batches may be written side by side.
    assert sorted((one["position"], content(one), one["kind"]) for one in lines) == KEPT
    assert [one["id"] for one in lines] == sorted(one["id"] for one in lines)
    done = filled.command("rejects", "export", "--kind", "conflict", "--output", "-")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        one for one in lines if one["kind"] == "conflict"
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "999999"], ["999999"]),
        (["show", "0"], ["0"]),
        (["show", "99999999999999999999"], ["99999999999999999999"]),
        (["show", "x"], ["x"]),
        (["replay"], ["--all"]),
        (["replay", "1", "--all"], ["--all"]),
        (["replay", "1", "--kind", "nul"], ["--all"]),
        (["replay", "1", "999999"], ["999999", "nothing was replayed"]),
        (["list", "--kind", "nonsense"], ["nonsense"]),
        (["list", "--since", "yesterday"], ["yesterday", "1h"]),
        (["export", "--output", "/nowhere/to/be/found"], ["/nowhere/to/be/found"]),
    ],
)
def test_mistakes(filled: Service, arguments: list[str], words: list[str]) -> None:
    """A mistake on the command line is one line that says what is wrong, and exit code 2."""
    done = filled.command("rejects", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_http_pages(filled: Service, client: httpx.Client) -> None:
    """The list over HTTP, followed by its links, is the list of the command; filters stay in the links."""
    expected = answer(filled, "list")
    for query in ("limit=1", "limit=3", "limit=500", "limit=2&since=1h&until=2999-01-01"):
        seen: list[dict[str, Any]] = []
        where: str | None = f"/rejects?{query}"
        while where:
            page = client.get(where)
            assert page.status_code == 200
            assert page.headers["cache-control"] == "no-store"
            seen += page.json()["rejects"]
            where = page.links["next"]["url"] if "next" in page.links else None
            assert (where is None) == (page.json()["next"] is None)
        assert seen == expected
    found = client.get(f"/rejects?kind=conflict&topic={filled.topic}&limit=1")
    assert [one["kind"] for one in found.json()["rejects"]] == ["conflict"]
    assert f"kind=conflict&topic={filled.topic}" in found.links["next"]["url"]
    assert client.get("/rejects?kind=database").json() == {"rejects": [], "next": None}


def test_http_one(filled: Service, client: httpx.Client) -> None:
    """A reject over HTTP has all of its bytes, and no cache may keep it."""
    for one in answer(filled, "list"):
        found = client.get(f"/rejects/{one['id']}")
        assert content(found.json()) == MESSAGES[one["position"]][0]
        assert found.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/rejects/999999", 404),
        ("/rejects/x", 404),
        *((f"/rejects/{number}", 400) for number in ("0", "-1", "99999999999999999999")),
        *(
            (f"/rejects?{query}", 400)
            for query in (
                *(
                    "kind=nonsense",
                    "limit=0",
                    "limit=501",
                    "after=0",
                    "after=x",
                    "after=99999999999999999999",
                ),
                *("since=yesterday", "until=", "since=999999999d", "topic=%00", "topic=%D0%96", "topic="),
                *("since=0001-01-01T00:00%2B14:00", "topic=" + "x" * 300),
            )
        ),
    ],
)
def test_http_mistakes(client: httpx.Client, path: str, status: int) -> None:
    """What is not there, or cannot be, is a problem of the asker's."""
    found = client.get(path)
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == "application/problem+json"
    assert found.headers["cache-control"] == "no-store"
    assert found.json()["status"] == status


def test_described(client: httpx.Client) -> None:
    """Both routes are in the description of the API, with what they answer."""
    described = client.get("/openapi.json").json()
    assert {"/rejects", "/rejects/{reject_id}"} <= described["paths"].keys()
    names = {one["name"] for one in described["paths"]["/rejects"]["get"]["parameters"]}
    assert names == {"kind", "topic", "since", "until", "limit", "after"}
    assert {"200", "404"} <= described["paths"]["/rejects/{reject_id}"]["get"]["responses"].keys()
    assert any(name.endswith("RejectDocument") for name in described["components"]["schemas"])


def set_aside(database: Database) -> int:
    """Make rejects of all stored orders, as if the database had refused them: how many."""
    database.execute(
        "insert into rejected_messages"
        " (source, partition, position, payload, sha256, kind, reason, order_uid)"
        " select source, partition, position, bytes, sha256(bytes), 'database', 'because', order_uid"
        " from orders, convert_to(payload::text, 'UTF8') as bytes;"
        "delete from orders"
    )
    return int(database.value("select count(*) from rejected_messages"))


def waiting_service(make_service: MakeService, count: int) -> Service:
    """A service that has stored so many orders without keys, whose ingest is stopped."""
    service = make_service()
    service.start_ingest()
    service.send([order(f"uid-{number}") for number in range(count)], partition=1)
    service.wait_until_acknowledged()
    service.ingest.stop()
    return service


def test_replay_stores(make_service: MakeService, database: Database) -> None:
    """What is an order now is stored by its replay, and served; to repeat it stores nothing twice."""
    service = waiting_service(make_service, 12)
    assert set_aside(database) == 12
    # The same order came again and was stored from there, and another one took the uid of a third.
    service.start_ingest()
    service.send([order("uid-1"), order("uid-2", locale="other")], partition=1)
    service.wait_until_acknowledged()
    service.start_api()
    progress = database.fetch("select * from progress order by 1, 2, 3, 4")
    assert audited(service) == {"stored": 2, "duplicate": 0, "rejected": 12, "conflict": 0}
    first = answer(service, "list")[-1]["id"]
    assert answer(service, "replay", str(first), str(first))["outcomes"] == {"stored": 1, "redelivered": 1}
    assert audited(service) == {"stored": 3, "duplicate": 0, "rejected": 11, "conflict": 0}
    counts = {"duplicate": 1, "conflict": 1, "stored": 9, "redelivered": 1}
    for again in (counts, {"duplicate": 1, "conflict": 1, "redelivered": 10}):
        report = answer(service, "replay", "--all", "--kind", "database", "--since", "1h")
        assert (report["replayed"], report["outcomes"]) == (12, again)
        assert audited(service) == {"stored": 12, "duplicate": 1, "rejected": 0, "conflict": 1}
    assert database.value("select count(*) from rejected_messages") == 12
    assert database.fetch("select * from progress order by 1, 2, 3, 4") == progress
    for number in (0, 1, 11):
        found = httpx.get(f"{service.url}/orders/uid-{number}")
        assert found.content == order(f"uid-{number}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_replay_that_is_cut_off(
    make_service: MakeService, database: Database, tmp_path: Path, number: signal.Signals
) -> None:
    """A replay may end in the middle, in order or not: the audit is clean at once, the next does the rest."""
    service = waiting_service(make_service, 1_500)
    set_aside(database)
    replaying = Process(tmp_path, "replay", ["rejects", "replay", "--all"], service.env)
    replaying.launch()
    wait_until(lambda: database.value("select count(*) from orders") > 5, "orders are stored again")
    replaying.send_signal(number)
    assert replaying.wait() == (-number if number == signal.SIGKILL else 130)
    if number == signal.SIGINT:
        assert "replayed: stored" in replaying.output()
    stored = database.value("select count(*) from orders")
    assert 0 < stored < 1_500
    assert audited(service) == {"stored": stored, "duplicate": 0, "rejected": 1_500 - stored, "conflict": 0}
    outcomes = answer(service, "replay", "--all")["outcomes"]
    assert outcomes == {"stored": 1_500 - stored, "redelivered": stored}
    assert audited(service) == {"stored": 1_500, "duplicate": 0, "rejected": 0, "conflict": 0}
