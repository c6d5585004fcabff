"""Rejects as people work with them: every kind published for real, and each command run for real."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orderkeep.publish.kafka import KafkaPublisher
from orderkeep.publish.message import GeneratedMessage
from tests.service import Service

from .reject_scene import KEPT, MESSAGES, answer, audited, content, printed, undumped


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
