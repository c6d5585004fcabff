"""Messages of every kind that is rejected, and the commands that work with them."""

import json
from base64 import b64decode
from typing import Any

from orderkeep.errors import Rejected
from orderkeep.order import decode
from orderkeep.publish.broken import BREAKAGES, broken
from orderkeep.publish.draw import Draw
from orderkeep.publish.generate import OrderGenerator
from tests.service import Service


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


def undumped(text: str) -> bytes:
    return b"".join(bytes.fromhex(line[10:58]) for line in text.splitlines())
