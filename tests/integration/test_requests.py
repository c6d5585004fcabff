"""The `.http` file and the Postman collection have every request, and each is answered as they say."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jsonschema
import pytest

from tests.conftest import Database
from tests.requests import Asked, of_collection, of_http_file
from tests.service import PATIENCE, Service

from .api_scene import api_only, store

FILES = {"http": of_http_file, "postman": of_collection}
SHOWN_ELSEWHERE = {"GET /", "GET /docs", "GET /openapi.json", "GET /asyncapi.json"}
"""Requests of what is no part of the description."""


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Iterator[Service]:
    """The API alone, with a reject."""
    asyncio.run(store(database, [b"garbage"]))
    service = api_only(tmp_path, database)
    service.start_api()
    httpx.get(f"{service.url}/orders")
    yield service
    service.stop()
    assert not service.api.events("request_failed")


@pytest.fixture
def key(service: Service) -> str:
    """With all scopes; from here on the service asks for one."""
    service.env["ORDERKEEP_KEYS_FILE"] = service.api.env["ORDERKEEP_KEYS_FILE"] = "keys.json"
    made = service.command("keys", "new", "--name", "all", "--scope", "read,write,admin,metrics")
    service.api.stop()
    service.start_api()
    return made.stdout.strip()


@pytest.fixture
def description(service: Service) -> Any:
    return httpx.get(f"{service.url}/openapi.json").json()


def operation(description: Any, asked: Asked) -> str:
    """Method and path as the description has them, or as they are when it does not."""
    path = urlsplit(asked.url).path
    paths = sorted(description["paths"], key=lambda known: known.count("{"))
    known = (each for each in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path))
    return f"{asked.method} {next(known, path)}"


def test_every_request(service: Service, description: Any) -> None:
    """Each is answered with what it expects, in the form that the description shows; none is left out."""
    ask_all("http", service, description, {})


def test_every_request_with_a_key(service: Service, key: str, description: Any) -> None:
    """The same where there are keys; the other file has the same requests."""
    ask_all("postman", service, description, {"key": key})


def ask_all(name: str, service: Service, description: Any, given: dict[str, str]) -> None:
    requests, variables = FILES[name]()
    variables |= {"host": service.url, **given}
    tried = set()
    with httpx.Client(timeout=PATIENCE) as client:
        for request in requests:
            asked = request.filled(variables)
            tried.add(label := operation(description, asked))
            with client.stream(asked.method, asked.url, headers=asked.headers, content=asked.body) as answer:
                assert answer.status_code in asked.statuses, (asked.name, answer.read())
                if label != "GET /events":
                    answer.read()
                    variables |= asked.save(answer)
                    check_form(description, label, answer)
    operations = {
        f"{method.upper()} {path}" for path, methods in description["paths"].items() for method in methods
    }
    assert tried == operations | SHOWN_ELSEWHERE


def check_form(description: Any, label: str, answer: httpx.Response) -> None:
    """An answer of JSON agrees with its schema, and has the fields of the example."""
    method, path = label.split(" ")
    if label in SHOWN_ELSEWHERE or not answer.content:
        return
    described = description["paths"][path][method.lower()]["responses"][str(answer.status_code)]
    media_type = answer.headers["content-type"]
    if "json" in media_type:
        content = described["content"][media_type]
        schema = {**content["schema"], "components": description["components"]}
        jsonschema.validate(answer.json(), schema)
        for example in content.get("examples", {}).values():
            assert example["value"].keys() == answer.json().keys()


def test_both_are_the_same() -> None:
    """What the one has, the other has too, in the same order."""
    listed = [
        [
            (asked.name, asked.method, re.sub(r"\{\{.+?\}\}", "…", asked.url), asked.body, asked.statuses)
            for asked in of_file()[0]
        ]
        for of_file in FILES.values()
    ]
    assert listed[0] == listed[1]


def test_all_is_shown(description: Any) -> None:
    """Every operation shows an example of what it answers when all is well, which agrees with its schema."""
    for path, methods in description["paths"].items():
        for method, described in methods.items():
            for status, answer in described["responses"].items():
                if not status.startswith("2"):
                    continue
                (content,) = answer["content"].values()
                schema = {**content["schema"], "components": description["components"]}
                assert content["examples"], (method, path, status)
                for example in content["examples"].values():
                    jsonschema.validate(example["value"], schema)
            for parameter in described.get("parameters", []):
                assert parameter.get("examples") or "default" in parameter["schema"], (path, parameter)
