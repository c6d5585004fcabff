"""Orders that look like a marketplace's: seeded, so that the same seed makes the same bytes everywhere."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Raw

from orderkeep.publish.catalogue import (
    BANKS,
    CARRIERS,
    DELIVERY_DOLLARS,
    MARKETS,
    PRODUCTS,
    PROVIDERS,
    SALES,
    SIGNATURES,
    STATUSES,
    Market,
)
from orderkeep.publish.draw import Draw
from orderkeep.publish.message import GeneratedMessage

CUSTOMERS: Final = 2_000
"""How many people order; each keeps name, address and market."""
MAX_ITEMS: Final = 20
FIRST_ORDER: Final = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
SECONDS_BETWEEN_ORDERS: Final = 3
ONE_IN_PRETTY: Final = 64
"""Every so many orders one is indented: the service has to keep the bytes, not only the content."""
ONE_IN_ASCII: Final = 16
"""Every so many customers one has an address with all but ASCII escaped, as some senders write JSON."""

_encode = msgspec.json.Encoder().encode


class _Customer(msgspec.Struct, frozen=True):
    number: str
    market: Market
    delivery: Raw


class OrderGenerator:
    """Orders one after another; about 1.1 kB and 11 µs each (seen on a 2-core machine).

    Uids are 19 to 25 hexadecimal digits hashed from the seed and a counter (76 bits at least: ten million
    orders share one with a chance of 1 in a billion).
    """

    def __init__(self, seed: int) -> None:
        self._draw = Draw(seed, "orders")
        self._hash = hashlib.blake2b(f"orderkeep {seed}".encode(), digest_size=22)
        self._made = 0
        self._customers = [_customer(self._draw) for _ in range(CUSTOMERS)]

    def order(self) -> GeneratedMessage:
        """The next order."""
        draw = self._draw
        customer = draw.pick(self._customers)
        market = customer.market
        digits = self._next_digits()
        uid = digits[: 19 + draw.below(7)]
        track_number = f"WB{digits[-12:].upper()}"
        created = FIRST_ORDER + self._made * SECONDS_BETWEEN_ORDERS
        items = [
            _item(draw, market, track_number, rid=f"{digits[25:]}{index:02d}")
            for index in range(_item_count(draw))
        ]
        payload = _encode(
            {
                "order_uid": uid,
                "track_number": track_number,
                "entry": "WBIL",
                "delivery": customer.delivery,
                "payment": _payment(draw, market, uid, items, int(created) + draw.below(600)),
                "items": items,
                "locale": market.locale,
                "internal_signature": draw.pick(SIGNATURES),
                "customer_id": customer.number,
                "delivery_service": draw.pick(CARRIERS),
                "shardkey": str(draw.below(10)),
                "sm_id": draw.below(100),
                "date_created": _moment(draw, market, created),
                "oof_shard": str(1 + draw.below(2)),
            }
        )
        if draw.below(ONE_IN_PRETTY) == 0:
            payload = msgspec.json.format(payload, indent=2)
        return GeneratedMessage(key=uid.encode(), payload=payload, kind="order", uid=uid, expected="stored")

    def _next_digits(self) -> str:
        """44 hexadecimal digits that no other order of this seed has."""
        self._made += 1
        digest = self._hash.copy()
        digest.update(self._made.to_bytes(8))
        return digest.hexdigest()


def sale_price(price: int, sale: int) -> int:
    """What is paid for a `price` with `sale` percent off, rounded half up as the model order does."""
    return (price * (100 - sale) + 50) // 100


def _customer(draw: Draw) -> _Customer:
    number = f"c{draw.below(10**9):09d}"
    market = draw.pick(MARKETS)
    place = draw.pick(market.places)
    delivery = {
        "name": draw.pick(market.people),
        "phone": f"{market.phone}{draw.below(10**market.phone_digits):0{market.phone_digits}d}",
        "zip": f"{draw.below(10**6):06d}",
        "city": place.city,
        "address": f"{place.street} {1 + draw.below(120)}",
        "region": place.region,
        "email": f"{number}@example.com",
    }
    escaped = draw.below(ONE_IN_ASCII) == 0
    text = json.dumps(delivery, separators=(",", ":")).encode() if escaped else _encode(delivery)
    return _Customer(number, market, Raw(text))


def _item_count(draw: Draw) -> int:
    """1 to `MAX_ITEMS`: one item in half of the orders, a handful in few, a full basket now and then."""
    count = 1
    while count < MAX_ITEMS and draw.fraction() < 0.5:
        count += 1
    return MAX_ITEMS - draw.below(10) if draw.below(100) == 0 else count


def _item(draw: Draw, market: Market, track_number: str, *, rid: str) -> dict[str, Any]:
    place = draw.below(len(PRODUCTS))
    product = PRODUCTS[place]
    price = max(1, round(product.dollars * market.rate * (0.8 + 0.4 * draw.fraction())))
    sale = draw.pick(SALES)
    return {
        "chrt_id": 9_900_000 + 100 * place + draw.below(100),
        "track_number": track_number,
        "price": price,
        "rid": rid,
        "name": product.name,
        "sale": sale,
        "size": draw.pick(product.sizes),
        "total_price": sale_price(price, sale),
        "nm_id": 2_300_000 + place,
        "brand": product.brand,
        "status": draw.pick(STATUSES),
    }


def _payment(draw: Draw, market: Market, uid: str, items: list[dict[str, Any]], paid: int) -> dict[str, Any]:
    goods_total = sum(item["total_price"] for item in items)
    delivery_cost = round(draw.pick(DELIVERY_DOLLARS) * market.rate)
    custom_fee = goods_total // 10 if draw.below(20) == 0 else 0
    return {
        "transaction": uid,
        "request_id": "",
        "currency": market.currency,
        "provider": draw.pick(PROVIDERS),
        "amount": goods_total + delivery_cost + custom_fee,
        "payment_dt": paid,
        "bank": draw.pick(BANKS),
        "delivery_cost": delivery_cost,
        "goods_total": goods_total,
        "custom_fee": custom_fee,
    }


def _moment(draw: Draw, market: Market, created: float) -> datetime:
    """The moment as different senders write it: in UTC or local time, some with a fraction of a second."""
    zone = market.zone if draw.below(4) == 0 else UTC
    fraction = draw.fraction() if draw.below(4) == 0 else 0.0
    return datetime.fromtimestamp(created + fraction, zone)
