"""The invented orders and the broken messages are what they claim, judged by the service's own model."""

import unicodedata
from collections import Counter
from itertools import islice
from typing import Any, get_args

import msgspec
import pytest

from orderkeep.errors import ConfigurationError, Rejected
from orderkeep.order import MAX_BYTES, Order, decode
from orderkeep.publish.broken import BREAKAGES, BrokenKind, broken
from orderkeep.publish.draw import Draw
from orderkeep.publish.generate import OrderGenerator, sale_price
from orderkeep.publish.kafka import MAX_MESSAGE_BYTES
from orderkeep.publish.message import GeneratedMessage
from orderkeep.publish.mixture import Mixture

BATCH_OVERHEAD_BYTES = 1_000
"""More than what Kafka's record batch adds to a message and its key (61 bytes and a few a record)."""


def _orders(seed: int, count: int) -> list[GeneratedMessage]:
    generator = OrderGenerator(seed)
    return [generator.order() for _ in range(count)]


def _shape(document: Any) -> Any:
    """The names, in their order, and nesting of a JSON document."""
    if isinstance(document, dict):
        return [(name, _shape(value)) for name, value in document.items()]
    return _shape(document[0]) if isinstance(document, list) else None


def _fields(model: type[msgspec.Struct]) -> Any:
    """The same of a msgspec model."""
    shapes = []
    for field in msgspec.structs.fields(model):
        inner = (*get_args(field.type), field.type)[0]
        nested = isinstance(inner, type) and issubclass(inner, msgspec.Struct)
        shapes.append((field.name, _fields(inner) if nested else None))
    return shapes


def test_same_seed_same_bytes() -> None:
    """The same seed makes the same messages, good and broken; another seed makes others."""
    first, again = (list(islice(Mixture(7, bad=0.2), 2_000)) for _ in range(2))
    assert first == again
    other = {message.payload for message in islice(Mixture(8), 2_000)}
    assert not other & {message.payload for message in first}


def test_uids_are_unique() -> None:
    """No two of 100,000 orders share a uid, and the uid is the key that keeps messages about it in order."""
    orders = _orders(1, 100_000)
    assert len({order.uid for order in orders}) == len(orders)
    assert all(order.uid is not None and order.key == order.uid.encode() for order in orders)


def test_orders_have_the_fields_of_the_model_and_no_others() -> None:
    """Every order has the names and nesting of the model, in its order, like the real ones."""
    expected = _fields(Order)
    assert all(_shape(msgspec.json.decode(order.payload or b"")) == expected for order in _orders(2, 2_000))


def test_totals_agree() -> None:
    """Items add up to the goods, goods, delivery and fee to the amount, and each sale to the item's price."""
    for message in _orders(3, 5_000):
        order = decode(message.payload)
        payment = order.payment
        assert order.order_uid == payment.transaction == message.uid
        assert 1 <= len(order.items) <= 20
        assert sum(item.total_price for item in order.items) == payment.goods_total
        assert payment.goods_total + payment.delivery_cost + payment.custom_fee == payment.amount
        for item in order.items:
            assert abs(100 * item.total_price - item.price * (100 - item.sale)) <= 50


def test_sale_price_of_the_model_order() -> None:
    """The rounding of a sale is that of the model order, whose 453 less 30 % is 317."""
    assert sale_price(453, 30) == 317


def test_orders_are_varied() -> None:
    """Currencies, alphabets, numbers of items and ways of writing JSON all occur."""
    messages = _orders(4, 5_000)
    orders = [decode(message.payload) for message in messages]
    assert {order.payment.currency for order in orders} >= {"USD", "EUR", "RUB", "KZT", "GEL", "TRY", "JPY"}
    letters = {letter for order in orders for letter in order.delivery.name if letter.isalpha()}
    scripts = {unicodedata.name(letter).split()[0] for letter in letters}
    assert scripts >= {"LATIN", "CYRILLIC", "GEORGIAN", "HEBREW", "ARABIC", "CJK", "HIRAGANA", "DEVANAGARI"}
    assert {len(order.items) for order in orders} == set(range(1, 21))
    payloads = [message.payload or b"" for message in messages]
    assert any(b"\n" in payload for payload in payloads)
    assert any(b"\\u" in payload for payload in payloads)
    assert 900 < sum(map(len, payloads)) / len(payloads) < 1_500


def test_contacts_are_nobodys() -> None:
    """E-mail goes to a reserved domain and telephone numbers are of ranges that are given to nobody."""
    for message in _orders(5, 2_000):
        delivery = decode(message.payload).delivery
        assert delivery.email.endswith("@example.com")
        assert delivery.phone.startswith(("+120255501", "+447700900")) or "0000" in delivery.phone


def test_every_kind_is_in_the_table() -> None:
    """The table of breakages has every kind that the type names, and no other."""
    assert tuple(BREAKAGES) == get_args(BrokenKind)


@pytest.mark.parametrize("kind", BREAKAGES)
def test_broken_messages_come_out_as_expected(kind: BrokenKind) -> None:
    """Whatever is to be rejected, the model refuses; what repeats or contradicts has a known uid."""
    draw = Draw(6, kind)
    for order in _orders(6, 200):
        message = broken(kind, draw, order)
        assert message.kind == kind
        assert len(message.payload or b"") + BATCH_OVERHEAD_BYTES < MAX_MESSAGE_BYTES
        if message.expected == "rejected":
            assert message.uid is None
            with pytest.raises(Rejected):
                decode(message.payload)
        else:
            assert decode(message.payload).order_uid == message.uid == order.uid
            assert message.key == order.key
            assert (message.payload == order.payload) == (message.expected == "duplicate")


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        ("not_json", {"not_json", "not_utf8", "invalid"}),
        ("cut_off", {"not_json", "not_utf8"}),
        ("wrong_type", {"invalid"}),
        ("missing_field", {"invalid"}),
        ("invalid_utf8", {"not_utf8"}),
        ("nul_escape", {"nul"}),
        ("lone_surrogate", {"lone_surrogate"}),
        ("number_out_of_range", {"invalid", "not_json"}),
        ("date_out_of_range", {"invalid"}),
        ("long_field", {"invalid"}),
        ("deep_nesting", {"too_deep"}),
        ("huge", {"too_large"}),
        ("empty", {"empty"}),
        ("tombstone", {"tombstone"}),
        ("bad_uid", {"invalid"}),
    ],
)
def test_rejected_for_what_is_broken(kind: BrokenKind, reasons: set[str]) -> None:
    """A message is refused for the very thing that was broken, which proves that all else was right."""
    draw = Draw(9, kind)
    seen = set()
    for order in _orders(9, 200):
        with pytest.raises(Rejected) as caught:
            decode(broken(kind, draw, order).payload)
        seen.add(caught.value.kind)
    assert seen <= reasons


def test_huge_is_just_over_the_limit() -> None:
    """A huge message is refused for its size alone: a little less padding, and it is an order."""
    order = _orders(10, 1)[0]
    payload = broken("huge", Draw(10, "huge"), order).payload or b""
    assert MAX_BYTES < len(payload) <= MAX_BYTES + 1_000
    assert decode(payload.replace(b"x" * 1_000, b"", 1)).order_uid == order.uid


def test_share_of_broken_messages() -> None:
    """The share of broken messages is the one asked for within chance, every kind as often as any other."""
    count, share = 10_000, 0.03
    kinds = Counter(message.kind for message in islice(Mixture(11, bad=share), count))
    bad = count - kinds.pop("order")
    deviation = (count * share * (1 - share)) ** 0.5
    assert abs(bad - count * share) < 5 * deviation
    assert set(kinds) == set(BREAKAGES)
    assert max(kinds.values()) - min(kinds.values()) <= 1


@pytest.mark.parametrize(("share", "expected"), [(0.0, {"order"}), (1.0, {"order", *BREAKAGES})])
def test_none_and_all_broken(share: float, expected: set[str]) -> None:
    """Of a share of none all are orders; of a share of all only originals that were missing at first are."""
    kinds = Counter(message.kind for message in islice(Mixture(12, bad=share), 100))
    assert set(kinds) == expected
    assert share == 0 or kinds["order"] == 1


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_impossible_share(share: float) -> None:
    """A share below 0, above 1 or not a number is refused with the range that is right."""
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        Mixture(1, bad=share)


def test_mixture_keeps_its_word() -> None:
    """Told apart by uid and bytes alone, every message has the outcome it announces, whatever came before."""
    stored: dict[str, bytes] = {}
    for message in islice(Mixture(13, bad=0.3), 3_000):
        try:
            uid = decode(message.payload).order_uid
        except Rejected:
            assert message.expected == "rejected"
            continue
        payload = message.payload or b""
        if uid not in stored:
            assert message.expected == "stored"
            stored[uid] = payload
        else:
            assert message.expected == ("duplicate" if stored[uid] == payload else "conflict")
