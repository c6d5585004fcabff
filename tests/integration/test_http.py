"""What the API answers: orders byte for byte, lists page by page, and a problem for everything else."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from orderkeep.order import MAX_BYTES
from tests.service import Service, wait_until

from .audit_scene import order

PATHS = ["/orders/{}", "/order/{}", "/order/order?order_uid={}"]


def odd(uid: str, text: bytes) -> bytes:
    """An order with `text` in place of the value of a field that no one asked for."""
    return order(uid).replace(b'"unknown": 1.5', b'"unknown": ' + text)


ODD = {
    "plain": order("plain"),
    "blanks": b"\r\n\t " + order("blanks").replace(b",", b" \t,\r\n  ") + b" \n",
    "duplicate-keys": odd("duplicate-keys", b'1, "unknown": 2, "sm_id": 1, "sm_id": 99'),
    "unicode": odd("unicode", '"Ω≈ç√ 注文 🚚 \u202e \u2028 \ufeff \x7f"'.encode()),
    "escapes": odd("escapes", rb'"\u00e9\/\ud83d\ude9a\b\f\\u0000 </script>"'),
    "number": odd("number", b"1e999"),
    "long-number": odd("long-number", b"[" + b"9" * 5_000 + b", -0.0, 1.50, 1E+2]"),
    "markup": odd("markup", b'"<img src=x onerror=alert(1)>"'),
    "a.b_c~d:e-f": order("a.b_c~d:e-f"),
    "order": order("order"),
    "...": order("..."),
    "u" * 128: order("u" * 128),
}
PADDING = MAX_BYTES - len(odd("megabyte", b'""'))
ODD["megabyte"] = odd("megabyte", b'"' + b"x" * PADDING + b'"')


@pytest.fixture(scope="module")
def filled(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """The service with all the odd orders stored."""
    # The largest is more than Kafka's producer takes by default, which `orderkeep publish` does not mind.
    largest = tmp_path_factory.mktemp("largest") / "order.json"
    largest.write_bytes(ODD["megabyte"])
    assert service.command("publish", "--file", str(largest)).returncode == 0
    service.publish([payload for payload in ODD.values() if len(payload) < MAX_BYTES])
    service.wait_until_acknowledged()
    wait_until(lambda: cached(service) == len(ODD), "all are in memory")
    return service


def cached(service: Service) -> int:
    return int(httpx.get(f"{service.url}/health/ready").json()["cache"]["entries"])


@pytest.fixture(scope="module")
def client(filled: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=filled.url) as client:
        yield client


def check_problem(answer: httpx.Response, status: int) -> None:
    """It is an error as RFC 9457 has it, which no cache may keep."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("uid", ODD)
def test_an_order_is_served_as_it_was_sent(client: httpx.Client, path: str, uid: str) -> None:
    """GET returns the bytes that were sent, under each of the three paths, and HEAD the same headers."""
    for _ in range(2):
        answer = client.get(path.format(uid))
        assert (answer.status_code, answer.content) == (200, ODD[uid])
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["vary"].lower() == "authorization"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-orderkeep-cache"] in ("hit", "miss")
        assert answer.headers["etag"].startswith('"')
    head = client.head(path.format(uid))
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-type", "content-length", "etag", "cache-control", "vary", "x-content-type-options")
    assert [head.headers[name] for name in same] == [answer.headers[name] for name in same]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "condition", ["{}", "W/{}", '"other", {}', 'W/"a,b" , W/{} , "c"', "*"], ids=lambda text: f"[{text}]"
)
def test_not_modified(client: httpx.Client, path: str, method: str, condition: str) -> None:
    """A condition that names the tag, however it is written, is answered with 304 and no body."""
    tag = client.get(path.format("plain")).headers["etag"]
    answer = client.request(method, path.format("plain"), headers={"if-none-match": condition.format(tag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("condition", ['"other"', "", "garbage", 'W/"', '"a" "b"', "{bare}", '"*"'])
def test_modified(client: httpx.Client, condition: str) -> None:
    """A condition that does not name the tag, or is none, is answered with the order."""
    bare = client.get("/orders/plain").headers["etag"].strip('"')
    answer = client.get("/orders/plain", headers={"if-none-match": condition.format(bare=bare)})
    assert (answer.status_code, answer.content) == (200, ODD["plain"])


def test_tags_differ(client: httpx.Client) -> None:
    """Different bytes have different tags."""
    tags = {client.head(f"/orders/{uid}").headers["etag"] for uid in ODD}
    assert len(tags) == len(ODD)


UNKNOWN = [
    "unknown",
    "PLAIN",
    "plain ",
    "plain\n",
    "%",
    "a/b",
    "<b>",
    "заказ",
    "\0",
    "plain\0",
    "'--",
    "\ud7ff",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("uid", [*UNKNOWN, "u" * 129, "x" * 5_000])
def test_no_such_order(client: httpx.Client, path: str, uid: str) -> None:
    """An id that no order has, or that cannot be one, is a problem of the asker's, in problem+json."""
    answer = client.get(path.format(quote(uid, safe="")))
    assert answer.status_code in (400, 404)
    check_problem(answer, answer.status_code)
    head = client.head(path.format(quote(uid, safe="")))
    assert (head.status_code, head.content) == (answer.status_code, b"")


@pytest.mark.parametrize("uid", ["plain", "a.b_c~d:e-f", "..."])
def test_percent_encoded(filled: Service, uid: str) -> None:
    """A uid whose every character is percent-encoded is the same uid."""
    encoded = "".join(f"%{ord(character):02x}" for character in uid)
    with httpx.Client(base_url=filled.url) as client:
        for path in PATHS:
            assert client.get(path.format(encoded)).content == ODD[uid]


@pytest.mark.parametrize("dots", [".", "..", "%2e", "%2E%2e", "../orders", "..%2forders", "./plain/.."])
def test_dots(filled: Service, dots: str) -> None:
    """Dots in the path lead nowhere: nothing but a problem is behind them."""
    # Sent by hand: clients resolve dots themselves.
    for path in ("/orders/", "/order/", "/static/", "/docs/assets/"):
        answer = raw_get(filled, path + dots)
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), answer[:200]
        assert b"application/problem+json" in answer


def raw_get(service: Service, target: str) -> bytes:
    place = urlsplit(service.url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/orders/plain", "/order/order?order_uid=plain", "/", "/metrics"])
def test_other_methods(client: httpx.Client, method: str, path: str) -> None:
    """What only can be read answers other methods with 405 and the methods that it has."""
    answer = client.request(method, path, content=b"{}" if method == "POST" else None)
    if method == "OPTIONS" and answer.status_code == 204:
        assert "GET" in answer.headers["allow"]
        return
    if method == "BREW":
        assert answer.status_code in (400, 405, 501)
        return
    check_problem(answer, 405)
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/orders/a/b", "/static/nothing.js", "/docs/assets/x", "/favicon.ico", "/order"]
)
def test_no_such_page(client: httpx.Client, path: str) -> None:
    """A path that leads nowhere is a problem, too."""
    check_problem(client.get(path), 404)


def test_orders_page_by_page(client: httpx.Client) -> None:
    """The list of the newest orders, followed by `next`, has every order once, the newest first."""
    for limit in (1, 5, 500):
        seen: list[dict[str, Any]] = []
        where: str | None = f"/orders?limit={limit}"
        while where:
            answer = client.get(where)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "no-store"
            page = answer.json()
            assert len(page["orders"]) <= limit
            seen += page["orders"]
            where = page["next"] and f"/orders?limit={limit}&after={quote(page['next'], safe='')}"
            if where:
                assert answer.links["next"]["url"]
                assert client.get(answer.links["next"]["url"]).json() == client.get(where).json()
        assert sorted(each["order_uid"] for each in seen) == sorted(ODD)
        times = [(each["received_at"], each["order_uid"]) for each in seen]
        assert times == sorted(times, reverse=True)
    assert len(client.get("/orders").json()["orders"]) == len(ODD)


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=-1", "limit=501", "limit=x", "limit=1.5", "limit=99999999999999999999", "limit="),
        *("after=x", "after=1", "after=.plain", "after=1.", "after=1..", "after=-1.plain", "after=x.plain"),
        *("after=99999999999999999999.plain", "after=1.%00", "after=%FF%FE.plain", "after=%D9%A1.plain"),
    ],
)
def test_bad_page(client: httpx.Client, query: str) -> None:
    """A page that cannot be is refused with what is wrong about it."""
    answer = client.get(f"/orders?{query}")
    check_problem(answer, 400)
    assert json.loads(answer.content)["detail"]


@pytest.mark.parametrize("query", ["", "?order_uid=", "?uid=plain"])
def test_query_without_a_uid(client: httpx.Client, query: str) -> None:
    """The third path without its query means the order whose uid is `order`, or none."""
    answer = client.get(f"/order/order{query}")
    assert answer.content == ODD["order"] or answer.status_code in (400, 404)


def test_metrics(client: httpx.Client) -> None:
    """The metrics are in Prometheus' format, and no two samples are the same."""
    client.get("/orders/plain")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.text))
    samples = [
        (each.name, tuple(sorted(each.labels.items()))) for family in families for each in family.samples
    ]
    assert len(set(samples)) == len(samples)
    assert {"orderkeep_http_requests", "orderkeep_reads", "orderkeep_cache_entries"} <= {
        family.name for family in families
    }
    assert all(family.documentation for family in families)


def test_refusals_are_counted(client: httpx.Client) -> None:
    """What is refused before any route sees it is counted all the same."""
    assert client.get("/", headers={"x-long": "x" * 100_000}).status_code == 431
    assert 'orderkeep_http_requests_total{route="",status="431"}' in client.get("/metrics").text


def test_health(client: httpx.Client) -> None:
    """The health pages say what the process does and what ingest has done."""
    assert client.get("/health/live").json() == {"status": "ok"}
    ready = client.get("/health/ready").json()
    assert (ready["status"], ready["database"]["status"]) == ("ok", "ok")
    assert ready["cache"]["entries"] == len(ODD)
    assert ready["ingest"]
