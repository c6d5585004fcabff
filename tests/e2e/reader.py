"""What a reader of the page does and sees, and the orders that are there to be read."""

import json
import uuid
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.service import Service

PATIENCE_MS = 30_000
MARKUP = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
WIDTHS = (320, 390, 768, 1280, 1920)


def make_order(**fields: Any) -> dict[str, Any]:
    """An order with an id of its own, whose sums agree; `fields` replace top-level ones."""
    order = {
        "order_uid": uuid.uuid4().hex,
        "track_number": "TRACK-1",
        "entry": "WEB",
        "delivery": {
            "name": "Ada Example",
            "phone": "+10000000000",
            "zip": "10115",
            "city": "Berlin",
            "address": "Example street 1",
            "region": "Berlin",
            "email": "ada@example.com",
        },
        "payment": {
            "transaction": "t-1",
            "request_id": "",
            "currency": "USD",
            "provider": "pay",
            "amount": 1817,
            "payment_dt": 1637907727,
            "bank": "alpha",
            "delivery_cost": 1500,
            "goods_total": 317,
            "custom_fee": 0,
        },
        "items": [make_item()],
        "locale": "en",
        "internal_signature": "",
        "customer_id": "customer-1",
        "delivery_service": "post",
        "shardkey": "9",
        "sm_id": 99,
        "date_created": "2021-11-26T06:22:19Z",
        "oof_shard": "1",
    }
    return order | fields


def make_item(**fields: Any) -> dict[str, Any]:
    """An item of an order; `fields` replace its own."""
    item = {
        "chrt_id": 9934930,
        "track_number": "TRACK-1",
        "price": 453,
        "rid": "rid-1",
        "name": "Mascara",
        "sale": 30,
        "size": "XL",
        "total_price": 317,
        "nm_id": 2389212,
        "brand": "Brand",
        "status": 202,
    }
    return item | fields


def encode(order: dict[str, Any]) -> bytes:
    return json.dumps(order, ensure_ascii=False).encode()


def publish(service: Service, order: dict[str, Any]) -> str:
    """Send one order and return its id, when it can be asked for."""
    service.publish([encode(order)])
    return str(order["order_uid"])


def find(page: Page, text: str) -> None:
    """Search as a reader does: slash, the text, Enter."""
    page.keyboard.press("/")
    page.keyboard.insert_text(text)
    page.keyboard.press("Enter")


def shown_order(page: Page, uid: str) -> Locator:
    """The laid-out order `uid`, waited for."""
    order = page.get_by_role("article", name=uid, exact=True)
    expect(order).to_be_visible(timeout=PATIENCE_MS)
    return order


def wait_until_live(page: Page) -> None:
    """Wait until the feed hears what happens: it shows nothing that was stored before."""
    expect(page.locator('main .pulse[data-state="live"]')).to_be_visible(timeout=PATIENCE_MS)


def assert_no_sideways_scroll(page: Page) -> None:
    """Neither the page scrolls sideways, nor does anything stick out of it."""
    wide = page.evaluate(
        """() => {
            const limit = document.documentElement.clientWidth;
            const out = [...document.querySelectorAll("main *, header *")]
                .filter((each) => !each.closest("pre, .sides, .canvas, svg, .unseen, [popover]"))
                .filter((each) => each.getBoundingClientRect().right > limit + 1)
                .map((each) => `${each.tagName}.${each.className} in ${each.parentElement.className}`);
            return { page: document.documentElement.scrollWidth - limit, out };
        }"""
    )
    assert wide == {"page": 0, "out": []}, wide
