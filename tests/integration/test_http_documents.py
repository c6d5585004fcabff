"""The page, the documentation and the description of the API need nothing from anywhere else."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from tests.service import Service

from .conftest import MakeService

ROUTES = {
    "/orders/{uid}",
    "/order/{uid}",
    "/order/order",
    "/orders",
    "/orders/{uid}/origin",
    "/state",
    "/events",
    "/health/live",
    "/health/ready",
    "/metrics",
}
OWN_NAMES = {"w3.org"}
"""Of XML namespaces: names that look like addresses and are never loaded."""


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url) as client:
        yield client


class _References(HTMLParser):
    """What a document has a browser load, and whether anything in it would run inline."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = ("src", "srcset", "data", "poster", "action") + (("href",) if tag == "link" else ())
        self.found += [str(given[name]) for name in loads if name in given]
        self.inline += [name for name in given if name.startswith("on")]
        if tag == "script" and "src" not in given:
            self.inline.append("script")


def test_description(client: httpx.Client) -> None:
    """/openapi.json is OpenAPI 3, names every route and its errors, and every reference leads somewhere."""
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert document["openapi"].startswith("3.")
    assert document["info"]["title"] == "Orderkeep"
    assert set(document["paths"]) >= ROUTES
    assert set(document["paths"]["/orders/{uid}"]["get"]["responses"]) >= {"200", "404"}
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)
    for reference in re.findall(r'"\$ref":"#/([^"]+)"', answer.text.replace('": "', '":"')):
        place = document
        for step in reference.split("/"):
            place = place[step]


def test_examples(client: httpx.Client) -> None:
    """What the description shows works: the order can be posted, and found with each of the parameters."""
    paths = client.get("/openapi.json").json()["paths"]
    shown = paths["/orders"]["post"]["requestBody"]["content"]["application/json"]["examples"]["order"][
        "value"
    ]
    posted = client.post("/orders", json=shown)
    assert posted.status_code == 201
    location = posted.headers["location"]
    assert client.get(location).json() == shown
    assert example(paths["/orders/{uid}"]["get"], "200", "application/json") == shown
    assert example(paths["/orders"]["post"], "201", "application/json") == posted.json()
    page = example(paths["/orders"]["get"], "200", "application/json")
    for parameter in paths["/orders"]["get"]["parameters"]:
        for given in parameter.get("examples", {}).values():
            found = client.get("/orders", params={parameter["name"]: given["value"]})
            assert found.status_code == 200, found.text
            assert found.json().keys() == page.keys()
    (line,) = client.get("/orders", params={"uid_prefix": "b563feg"}).json()["orders"]
    assert line | {"received_at": ""} == page["orders"][0] | {"received_at": ""}
    wrong = client.post("/orders", json={**shown, "sm_id": "99"}).json()
    assert wrong.keys() == example(paths["/orders"]["post"], "422", "application/problem+json").keys()


def example(operation: dict[str, Any], status: str, media_type: str) -> Any:
    """The one that the description shows of an answer."""
    (shown,) = operation["responses"][status]["content"][media_type]["examples"].values()
    return shown["value"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_from_here_alone(client: httpx.Client, path: str) -> None:
    """A page loads all it needs from the service, which forbids it anything else."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"

    references = _References()
    references.feed(answer.text)
    assert references.found
    assert not references.inline
    waiting, seen = [urljoin(path, each) for each in references.found], set()
    while waiting:
        where = waiting.pop()
        assert not urlsplit(where).netloc, where
        if where in seen:
            continue
        seen.add(where)
        loaded = client.get(where)
        assert loaded.status_code == 200, where
        assert "content-security-policy" in loaded.headers
        if loaded.headers["content-type"].startswith("text/javascript") and path == "/":
            imports = re.findall(r'(?:from|import)\s*\(?["\']([^"\']+)["\']', loaded.text)
            waiting += [urljoin(where, each) for each in imports]
    assert client.head(path).headers["content-length"] == answer.headers["content-length"]


def test_page_names_no_other_host(client: httpx.Client) -> None:
    """Nothing that the page is made of holds the address of another host."""
    waiting, seen = ["/"], set()
    while waiting:
        where = waiting.pop()
        seen.add(where)
        # The comment that names a library, its home among it, belongs to its licence.
        text = re.sub(r"\A/\*!.*?\*/", "", client.get(where).text, flags=re.DOTALL)
        hosts = {urlsplit(each).hostname or "" for each in re.findall(r"https?://[^\s\"'<>`)]+", text)}
        assert {host.removeprefix("www.") for host in hosts} <= OWN_NAMES, where
        names = re.findall(
            r'(?:src|href|from|import)\s*[=(]?\s*["\']([./][^"\']*\.(?:js|css|svg))["\']', text
        )
        waiting += [place for name in names if (place := urljoin(where, name)) not in seen]
    assert len(seen) > 2


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        *(("localhost", True), ("LOCALHOST:1", True), ("127.0.0.1", True), ("127.0.0.1:8080", True)),
        *(("[::1]", True), ("[::1]:8080", True), ("127.1.2.3", True)),
        *(("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False)),
        *(("evil.example:80", False), ("localhost@evil.example", False), ("0.0.0.0", False), ("", False)),
        *(
            ("[::1", False),
            ("[::2]", False),
            ("10.0.0.1", False),
            (":80", False),
            ("evil.example:localhost", False),
        ),
    ],
)
def test_host_names(client: httpx.Client, host: str, allowed: bool) -> None:
    """Only names of this machine are answered: a page elsewhere that rebinds its name learns nothing."""
    for path in ("/", "/orders/unknown", "/health/ready", "/metrics", "/openapi.json", "/docs"):
        answer = client.get(path, headers={"host": host})
        assert (answer.status_code not in (400, 421)) is allowed, path
        if not allowed:
            assert answer.headers["content-type"] == "application/problem+json" or answer.status_code == 400


def test_allowed_hosts(make_service: MakeService) -> None:
    """Names that are allowed besides are answered, those that are not remain refused."""
    service = make_service(env={"ORDERKEEP_HTTP_ALLOWED_HOSTS": "shop.example, Orders.Example"})
    service.start_api()
    for host, status in (
        ("shop.example", 200),
        ("orders.example:443", 200),
        ("localhost", 200),
        ("a.shop.example", 421),
        ("evil.example", 421),
    ):
        assert httpx.get(f"{service.url}/health/live", headers={"host": host}).status_code == status, host
