"""Decoding under any bytes, and PostgreSQL as the judge of what is accepted."""

import json
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orderkeep.errors import Rejected
from orderkeep.order import MAX_BYTES, Order, decode
from orderkeep.storage.postgres_reader import PostgresReader
from orderkeep.storage.postgres_writer import PostgresWriter
from tests.conftest import Database
from tests.fuzz.corpus import corpus
from tests.fuzz.examples import examples
from tests.near_orders import TOKENS, near_documents, near_orders
from tests.orders import MODEL, orders_batch

CORPUS = corpus("decode")
SPACE = st.sampled_from([b"", b"", b" ", b"\n", b"\r\n\t"])
NUMBERS = [b"0", b"-0", b"1.50", b"1E+2", b"1e999", b"-1e-999", b"9" * 400, b"0." + b"0" * 400 + b"1"]
ESCAPES = [rb"\n", rb"\/", rb"\\u0000", rb"\u00e9", rb"\ud83d\ude42", rb"\uFFFF", rb"\u007f", rb"\\\\ud800"]
BAD_ESCAPES = [rb"\u0000", rb"\ud83d", rb"\ude42", rb"\x", b"\0", b"\xff", b"\n"]


def texts(*, broken: bool = False) -> st.SearchStrategy[bytes]:
    """Strings of JSON as they are written, escapes in all their forms."""
    pieces = [st.sampled_from(ESCAPES), st.text(max_size=5).map(plain)]
    pieces += [st.sampled_from(BAD_ESCAPES)] if broken else []
    return st.lists(st.one_of(pieces), max_size=4).map(lambda parts: b'"' + b"".join(parts) + b'"')


def plain(text: str) -> bytes:
    return json.dumps(text.replace("\0", ""), ensure_ascii=False)[1:-1].encode(errors="replace")


def values(*, broken: bool = False) -> st.SearchStrategy[bytes]:
    """Any JSON, written in any way."""
    leaves = st.sampled_from([b"null", b"true", b"false", *NUMBERS]) | texts(broken=broken)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(SPACE, st.lists(inner, max_size=3)).map(lambda drawn: listed(*drawn)),
            st.tuples(SPACE, st.lists(st.tuples(texts(broken=broken), inner), max_size=3)).map(
                lambda drawn: fields(*drawn)
            ),
        ),
        max_leaves=8,
    )


def listed(space: bytes, inner: Iterable[bytes]) -> bytes:
    return b"[" + space + (b"," + space).join(inner) + space + b"]"


def fields(space: bytes, pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"{" + space + (space + b",").join(name + space + b":" + value for name, value in pairs) + b"}"


@st.composite
def grown(draw: st.DrawFn, *, broken: bool = True) -> bytes:
    """The model order with fields that the model does not name, at any place, written in any way."""
    payload = MODEL
    for _ in range(draw(st.integers(1, 3))):
        name, value = draw(texts(broken=broken)), draw(values(broken=broken))
        place = draw(st.sampled_from([b'"track_number"', b'"name"', b'"bank"', b'"brand"', b'"oof_shard"']))
        payload = payload.replace(place, name + b":" + value + draw(SPACE) + b"," + place, 1)
    return payload


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One of the corpus or a grown order, with pieces cut out, doubled, or put elsewhere."""
    payload = draw(st.sampled_from(list(CORPUS.values())) | grown())
    for _ in range(draw(st.integers(1, 5))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(payload))] * 2)))
        middle = draw(st.sampled_from([b"", payload[start:end] * 2, *TOKENS]))
        payload = payload[:start] + middle + payload[end:]
    return payload


def judge(payload: bytes) -> Order | None:
    """The order, or None when it is refused; anything else fails."""
    try:
        return decode(payload)
    except Rejected as refused:
        told = refused
    assert told.kind
    assert told.reason
    return None


@pytest.mark.parametrize("name", CORPUS)
def test_corpus(name: str) -> None:
    """What once went wrong does not again: names say what each is, `order` or the kind of reject."""
    found = judge(CORPUS[name])
    expected = name.partition(".")[0]
    if expected == "order":
        assert found
    else:
        with pytest.raises(Rejected) as refused:
            decode(CORPUS[name])
        assert refused.value.kind == expected


@settings(max_examples=examples(250), deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated() | grown() | near_orders() | near_documents() | st.binary())
def test_any_bytes(payload: bytes) -> None:
    """Whatever the bytes, they are an order or refused, and the same when they come again."""
    found = judge(payload)
    assert judge(payload) == found
    if found:
        assert json.loads(payload, parse_int=str)["order_uid"] == found.order_uid


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(grown(broken=False))
def test_unknown_fields_are_allowed(payload: bytes) -> None:
    """JSON that PostgreSQL can use is accepted in any field that the model does not name."""
    found = judge(payload)
    assert found or payload.count(b'"order_uid"') > 1


@settings(max_examples=examples(250), deadline=None, suppress_health_check=list(HealthCheck))
@given(near_orders() | mutated() | st.sampled_from([MODEL, *CORPUS.values()]))
def test_an_unknown_field_changes_nothing(payload: bytes) -> None:
    """What is an order stays the same order with a field more, and what is none does not become one."""
    found = judge(payload)
    more = judge(payload.replace(b"{", b'{"a field":[1],', 1))
    if found is None:
        assert more is None
    elif len(payload) < MAX_BYTES - 100:
        assert more is not None
        assert msgspec.to_builtins(more) == msgspec.to_builtins(found)


async def test_postgresql_takes_what_is_accepted(database: Database) -> None:
    """All that is accepted is stored in one batch, is read back byte for byte, and can be cast to text."""
    accepted: dict[str, bytes] = {}

    @settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
    @given(grown(broken=False) | near_documents() | near_orders())
    def draw(payload: bytes) -> None:
        uid = f"uid-{len(accepted)}"
        own = payload.replace(b"b563feb7b2b84b6test", uid.encode(), 1)
        found = judge(own)
        if found and found.order_uid == uid:
            accepted[uid] = own

    draw()
    for number, payload in enumerate(payload for payload in CORPUS.values() if judge(payload)):
        uid = f"corpus-{number}"
        accepted[uid] = payload.replace(b"b563feb7b2b84b6test", uid.encode(), 1)
    assert len(accepted) > 50
    writer, reader = PostgresWriter(database.ingest_url), PostgresReader(database.reader_url)
    payloads = list(accepted.values())
    for start in range(0, len(payloads), 5_000):
        part = payloads[start : start + 5_000]
        counts = await writer.write(orders_batch(part, first=start))
        assert counts.get("stored") == len(part)
    for uid, payload in accepted.items():
        stored = await reader.order(uid)
        assert stored
        assert stored.payload == payload
    await writer.close()
    await reader.close()
    usable = database.value(
        "select count(payload -> 'delivery' ->> 'name') + count(payload -> 'payment' ->> 'bank') from orders"
    )
    assert usable == 2 * len(accepted)
    assert database.value("select count(*) from items") >= 0
    assert database.value("select count(*) from payments") == len(accepted)
