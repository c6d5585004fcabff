"""The requests that `docs/` has for clients: those of the `.http` file, and those of the Postman collection.

Of both formats as much is understood as the two files use; what is not understood fails.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import httpx

from tests.documents import read

HTTP_FILE, COLLECTION = "docs/orderkeep.http", "docs/orderkeep.postman_collection.json"

_VARIABLE = re.compile(r"\{\{(.+?)\}\}")
_SAVED = re.compile(
    r"pm\.collectionVariables\.set\('(\w+)', pm\.response\.(?:headers\.get\('(.+?)'\)|json\(\)(.+))\);"
)


class Asked(NamedTuple):
    """A request: what is between double braces in it stands for a variable.

    `save` gives the variables that later ones need, from the answer and its body.
    """

    name: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: str
    statuses: list[int]
    save: Callable[[httpx.Response], dict[str, str]]

    def filled(self, variables: Mapping[str, str]) -> "Asked":
        """With the values of the variables; fails when one is not known."""

        def fill(text: str) -> str:
            return _VARIABLE.sub(lambda found: variables[found[1]], text)

        headers = {name: fill(value) for name, value in self.headers.items()}
        return self._replace(url=fill(self.url), headers=headers)


def of_http_file() -> tuple[list[Asked], dict[str, str]]:
    """The requests in the format of VS Code's REST Client, and the variables that they begin with."""
    text = read(HTTP_FILE)
    beginning, *parts = re.split(r"^### ", text, flags=re.MULTILINE)
    variables = dict(re.findall(r"^@(\w+) = (.+)$", beginning, re.MULTILINE))
    references = set(re.findall(r"\{\{(\w+)\.response\.(.+?)\}\}", text))
    return [_of_http(part, references) for part in parts], variables


def _of_http(part: str, references: set[tuple[str, str]]) -> Asked:
    head, _, body = part.partition("\n\n")
    name, *lines = head.splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    (expected,) = (line.removeprefix("expect ") for line in comments if line.startswith("expect "))
    named = [line.removeprefix("@name ") for line in comments if line.startswith("@name ")]
    request, *headers = (line for line in lines if not line.startswith("#"))
    method, url = request.split(" ")
    wanted = [path for of, path in references if [of] == named]

    def save(answer: httpx.Response) -> dict[str, str]:
        return {f"{named[0]}.response.{path}": _found(answer, path) for path in wanted}

    pairs = dict(line.split(": ", 1) for line in headers)
    return Asked(name, method, url, pairs, body.strip(), _statuses(expected), save)


def of_collection() -> tuple[list[Asked], dict[str, str]]:
    """The requests of the Postman collection, and the variables that they begin with."""
    collection = json.loads(read(COLLECTION))
    variables = {one["key"]: one["value"] for one in collection["variable"]}
    (token,) = collection["auth"]["bearer"]
    assert (collection["auth"]["type"], token["key"]) == ("bearer", "token")
    sent = {"Authorization": f"Bearer {token['value']}"}
    asked = [_of_item(item) for item in _items(collection)]
    return [one._replace(headers={**one.headers, **sent}) for one in asked], variables


def _items(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for item in part["item"]:
        if "item" in item:
            yield from _items(item)
        else:
            yield item


def _of_item(item: dict[str, Any]) -> Asked:
    request = item["request"]
    (event,) = item["event"]
    expected, *saving = event["script"]["exec"]
    saved = [_SAVED.fullmatch(line) for line in saving]
    assert all(saved), saving
    paths = {found[1]: f"headers.{found[2]}" if found[2] else f"body.${found[3]}" for found in saved if found}

    def save(answer: httpx.Response) -> dict[str, str]:
        return {variable: _found(answer, path) for variable, path in paths.items()}

    headers = {header["key"]: header["value"] for header in request["header"]}
    body = request.get("body", {}).get("raw", "")
    url = request["url"]
    assert url["raw"] == "{{host}}/" + "/".join(url["path"]) + _query(url)
    statuses = _statuses(expected.partition("oneOf")[2])
    return Asked(item["name"], request["method"], url["raw"], headers, body, statuses, save)


def _query(url: Mapping[str, Any]) -> str:
    return "?" + "&".join(f"{one['key']}={one['value']}" for one in url["query"]) if "query" in url else ""


def _statuses(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d{3}", text)]


def _found(answer: httpx.Response, path: str) -> str:
    """The header, as `headers.name`, or the part of the body of JSON, as `body.$.a[0].b`."""
    where, _, rest = path.partition(".")
    if where == "headers":
        return answer.headers[rest]
    value = answer.json()
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", rest):
        value = value[name] if name else value[int(index)]
    return str(value)
