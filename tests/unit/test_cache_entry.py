"""An entry of the cache is an HTTP response but for its first lines, with the order in it, byte for byte."""

import hashlib
import http.client
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.cache.entry import body, etag, render
from orderkeep.storage.store import StoredOrder
from tests.orders import MODEL

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


class Connection:
    """What the standard library's reader of responses needs of a socket."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._sent)


def read(entry: bytes) -> http.client.HTTPResponse:
    """The response behind the lines that the server writes before it."""
    entry = b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\n" + entry
    response = http.client.HTTPResponse(Connection(entry))  # type: ignore[arg-type]  # it only calls makefile
    response.begin()
    return response


def entry(payload: bytes) -> bytes:
    return render(StoredOrder("uid", payload, MOMENT))


@pytest.mark.parametrize("payload", [MODEL, b"{}", b"\r\n\r\n", b'etag: "x"', "Ж 🙂".encode()], ids=repr)
def test_body(payload: bytes) -> None:
    """The body is the order's own bytes, also when they look like an HTTP head."""
    assert body(entry(payload)) == payload


@given(st.binary(max_size=300))
def test_response(payload: bytes) -> None:
    """An independent reader finds one well-formed response, with the length, the tag and the order."""
    rendered = entry(payload)
    response = read(rendered)
    assert (response.status, response.version) == (200, 11)
    assert response.getheader("content-type") == "application/json"
    assert response.getheader("content-length") == str(len(payload))
    assert response.getheader("etag") == etag(rendered)
    assert response.read() == payload
    assert rendered.endswith(payload)


def test_every_header_once() -> None:
    """No header is repeated, and only the date is the server's to say."""
    names = [name.lower() for name, _ in read(entry(MODEL)).getheaders()]
    assert len(names) == len(set(names))
    assert not {"server", "connection", "transfer-encoding"} & set(names)


def test_tag() -> None:
    """The tag is strong, made of the bytes alone, and another for every other order."""
    assert etag(entry(MODEL)) == f'"{hashlib.blake2b(MODEL, digest_size=12).hexdigest()}"'
    assert etag(entry(MODEL)) == etag(render(StoredOrder("other", MODEL, datetime.now(UTC))))
    assert etag(entry(MODEL)) != etag(entry(MODEL + b" "))
