"""Any bytes on the HTTP port get a correct answer or a closed connection, and the next client is served."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service import Service

from .audit_scene import order

GET = b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSE = b"Connection: close\r\n\r\n"
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [^\r\n]*\r\n")


@pytest.fixture(scope="module")
def filled(service: Service) -> Service:
    service.publish([order("a"), order("b")])
    return service


@contextmanager
def connected(service: Service) -> Iterator[socket.socket]:
    place = urlsplit(service.url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        yield connection


def exchange(service: Service, *pieces: bytes, quiet: float = 0.3) -> bytes:
    """Send the pieces: all that is answered until the service closes.

    When it has been quiet for so many seconds it waits for more: then the sending is ended.
    """
    answer = b""
    with connected(service) as connection:
        # The service may refuse and close while we still send.
        with suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
        connection.settimeout(quiet)
        with suppress(ConnectionError):
            while received := _receive(connection):
                answer += received
    return answer


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except TimeoutError:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(30)
        return connection.recv(65_536)


def statuses(answer: bytes, heads: int = 0) -> list[int]:
    """The statuses of the responses that follow one another; each is complete. `heads` have no body."""
    found: list[int] = []
    while answer:
        head, end, rest = answer.partition(b"\r\n\r\n")
        assert end, answer[:300]
        line = STATUS_LINE.match(head + b"\r\n")
        assert line, answer[:300]
        found.append(int(line[1]))
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        chunked = re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE)
        if found[-1] in (204, 304) or len(found) <= heads:
            answer = rest
        elif chunked:
            body, last, answer = rest.partition(b"0\r\n\r\n")
            assert last, body[:300]
        else:
            # A server that says no length ends the body by closing.
            size = int(length[1]) if length else len(rest)
            assert len(rest) >= size, answer[:300]
            answer = rest[size:]
    return found


def check_alive(service: Service) -> None:
    answer = httpx.get(f"{service.url}/orders/a")
    assert (answer.status_code, answer.content) == (200, order("a"))


REFUSED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "text": b"hello there\r\n\r\n",
    "no version": b"GET /orders/a\r\n\r\n",
    "unknown version": b"GET /orders/a HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "method of another protocol": b"SSH-2.0-client\r\n",
    "nul in the path": b"GET /orders/\0a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "nul in a header": b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "nul in a name": b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\nX\0: b\r\n\r\n",
    "header without a colon": b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
    "blank before the colon": b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\nContent-Length : 3\r\n\r\nabc",
    "two lengths": b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
    b"Content-Length: 4\r\n\r\nabcd",
    "two lengths in one": b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3, 4\r\n\r\nabcd",
    "negative length": b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "endless length": b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    + b"9" * 40
    + b"\r\n\r\n",
    "length and chunks": b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST /orders HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST /orders HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(filled: Service, name: str) -> None:
    """What is no request is answered with an error, once, or not at all; nothing after it is answered."""
    found = statuses(exchange(filled, REFUSED[name] + GET))
    assert len([status for status in found if status == 200]) == 0, found
    assert len(found) <= 1
    assert all(400 <= status < 600 for status in found)
    check_alive(filled)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b"\r\n\r\n"],
        [b"G"],
        [GET[:-1]],
        [GET[:25]],
        [
            b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10\r\n\r\nabc"
        ],
    ],
    ids=["nothing", "blank lines", "one byte", "all but a byte", "half a header", "half a body"],
)
def test_unfinished(filled: Service, pieces: list[bytes]) -> None:
    """A request that stops in the middle is closed, or answered when it could be judged already."""
    assert set(statuses(exchange(filled, *pieces))) <= {400, 405, 408}
    check_alive(filled)


def test_byte_by_byte(filled: Service) -> None:
    """A request that comes a byte at a time is a request."""
    request = GET[:-2] + CLOSE
    answer = exchange(filled, *(request[at : at + 1] for at in range(len(request))))
    assert statuses(answer) == [200]
    assert answer.endswith(order("a"))


def test_pipelined(filled: Service) -> None:
    """Requests sent without waiting are answered each, in their order."""
    second = GET.replace(b"/orders/a", b"/orders/b")
    requests = (GET + second) * 20 + GET.replace(b"/orders/a", b"/orders/none")[:-2] + CLOSE
    answer = exchange(filled, requests)
    assert statuses(answer) == [200] * 40 + [404]
    uids = re.findall(rb'"order_uid": "([ab])"', answer)
    assert uids == [b"a", b"b"] * 20


def test_body_of_a_request_is_no_request(filled: Service) -> None:
    """What a body holds is never taken for the next request, also when the answer comes before its end."""
    body = GET * 3
    post = b"POST /orders/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    for pieces in ([post + body + GET], [post, body, GET], [post + body[:20], body[20:] + GET]):
        found = statuses(exchange(filled, *pieces))
        assert found in ([405], [405, 200])
    chunked = b"POST /orders/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    assert statuses(exchange(filled, chunked + chunks + GET)) in ([405], [405, 200])
    get = b"GET /orders/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(GET)
    assert statuses(exchange(filled, get + GET)) == [200]
    check_alive(filled)


@pytest.mark.parametrize("ending", [b"\r\n", CLOSE[:-2] + b"\r\n", b"Connection: keep-alive\r\n\r\n"])
def test_http_1_0(filled: Service, ending: bytes) -> None:
    """HTTP/1.0 is answered; without keep-alive the connection ends with the answer."""
    answer = exchange(filled, b"GET /orders/a HTTP/1.0\r\nHost: localhost\r\n" + ending)
    assert statuses(answer) == [200]
    assert answer.endswith(order("a"))


def test_host_is_required(filled: Service) -> None:
    """A request that names no host, or two, is refused."""
    for head in (
        b"",
        b"Host: evil.example\r\nHost: localhost\r\n",
        b"Host: localhost\r\nHost: evil.example\r\n",
    ):
        (status,) = statuses(exchange(filled, b"GET /orders/a HTTP/1.1\r\n" + head + CLOSE))
        assert status in (400, 421)


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"x" * 100_000 + b"\r\n",
        b"".join(b"X-%d: y\r\n" % number for number in range(10_000)),
        b"x" * 100_000 + b": y\r\n",
        b"Cookie: " + b"a=b; " * 200_000 + b"\r\n",
    ],
    ids=["long value", "many headers", "long name", "megabyte"],
)
def test_too_large_a_head(filled: Service, head: bytes) -> None:
    """A head beyond the limit is refused with 431, or cut off, whether it ends or not."""
    start = b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\n"
    for request in (start + head, start + head + CLOSE):
        assert statuses(exchange(filled, request)) in ([], [431], [400])
    check_alive(filled)


def test_endless_head(filled: Service) -> None:
    """Headers without end are cut off: the service does not keep what it is sent."""
    sent = 0
    with connected(filled) as connection:
        connection.sendall(b"GET /orders/a HTTP/1.1\r\nHost: localhost\r\n")
        with suppress(ConnectionError):
            while sent < 50_000_000:
                sent += connection.send(b"X-Header: value\r\n" * 500)
    assert sent < 50_000_000
    check_alive(filled)


@pytest.mark.parametrize("path", [b"/orders/%b", b"/order/%b", b"/order/order?order_uid=%b"])
@pytest.mark.parametrize(
    "uid", [b"x" * 100_000, b"x" * 20_000, b"%00" * 5_000, b"\xff\xfe", b"%ff%fe", b"%zz", b"%"]
)
def test_impossible_uids(filled: Service, path: bytes, uid: bytes) -> None:
    """A uid that is too long, or no text, is refused or not found."""
    answer = exchange(filled, b"GET " + path % uid + b" HTTP/1.1\r\nHost: localhost\r\n" + CLOSE)
    assert set(statuses(answer)) <= {400, 404, 414, 431}
    check_alive(filled)


def test_absolute_target(filled: Service) -> None:
    """A target with a scheme and a host does not get round the list of hosts."""
    for target in (b"http://evil.example/orders/a", b"//evil.example/orders/a", b"*", b"evil.example:443"):
        answer = exchange(filled, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + CLOSE)
        assert set(statuses(answer)) <= {200, 400, 404, 405, 421}


ALMOST = st.lists(
    st.one_of(
        st.sampled_from([b"GET", b"POST", b"HEAD", b" ", b"/orders/a", b"HTTP/1.1", b"\r\n", b"\n", b"\r"]),
        st.sampled_from([b"Host: localhost", b"Content-Length: ", b"Transfer-Encoding: chunked", b"5", b"0"]),
        st.sampled_from([GET, GET[:-2], b"Expect: 100-continue", b"Upgrade: h2c", b"Connection: upgrade"]),
        st.binary(max_size=20),
    ),
    max_size=30,
).map(b"".join)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.one_of(st.binary(max_size=2_000), ALMOST))
def test_any_bytes(filled: Service, data: bytes) -> None:
    """Whatever the bytes, what comes back are whole HTTP responses, or nothing."""
    answer = exchange(filled, data, quiet=0.03)
    if b"HEAD" not in data:
        assert 500 not in statuses(answer)


def test_still_well(filled: Service) -> None:
    """After all of that the same processes run, and none of it was a mistake of the program."""
    check_alive(filled)
    assert filled.api.pid
    assert not filled.api.events("request_failed")
    assert "Traceback" not in filled.api.output()
