"""The page at `/` in a real browser, over a running service."""

import json
import re
import uuid
from typing import Any, Protocol

import pytest
from playwright.sync_api import Locator, Page, expect

PATIENCE_MS = 15_000
MARKUP = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>'
WIDTHS = [320, 390, 768, 1280, 1920]


class Service(Protocol):
    """A running Orderkeep: `publish` returns when what was sent can be asked for."""

    url: str

    def publish(self, payloads: list[bytes]) -> None: ...


def make_order(**fields: Any) -> dict[str, Any]:
    """An order with an id of its own; `fields` replace top-level ones."""
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
    """Send one order and return its id."""
    service.publish([encode(order)])
    return str(order["order_uid"])


def find(page: Page, uid: str) -> None:
    """Search as a reader does: slash, the id, Enter."""
    page.keyboard.press("/")
    page.keyboard.type(uid)
    page.keyboard.press("Enter")


def shown_order(page: Page, uid: str) -> Locator:
    """The laid-out order `uid`, waited for."""
    order = page.get_by_role("article", name=uid, exact=True)
    expect(order).to_be_visible(timeout=PATIENCE_MS)
    return order


def test_an_id_typed_in_shows_the_order(service: Service, browser_page: Page) -> None:
    """Typing an id lays the order out: delivery, money, items, unknown fields, the source and the time."""
    uid = publish(service, make_order(gift_note="with love"))
    browser_page.goto("/")
    find(browser_page, uid)
    order = shown_order(browser_page, uid)
    for text in ("Ada Example", "Mascara", "Brand", "$1,817", "$1,500", "$453", "30%", "202", "with love"):
        expect(order.get_by_text(text, exact=True).first).to_be_visible()
    created = order.get_by_text("Nov 26, 2021, 07:22:19 AM GMT+1")
    expect(created).to_have_attribute("title", "2021-11-26T06:22:19Z")
    expect(order.get_by_text(re.compile(r"from (memory|the database) in \d+(\.\d)? m?s"))).to_be_visible()
    expect(browser_page.get_by_role("status").first).to_contain_text(f"Order {uid}, from ")


def test_markup_in_an_order_is_text(service: Service, browser_page: Page) -> None:
    """An order whose every text field is markup is shown as that text, and nothing of it runs."""
    order = make_order(note=MARKUP, nested={MARKUP: MARKUP})
    order[MARKUP] = MARKUP
    for part in (order, order["delivery"], order["payment"], order["items"][0]):
        part.update({name: MARKUP for name, value in part.items() if isinstance(value, str)})
    order |= {"order_uid": uuid.uuid4().hex, "date_created": "2021-11-26T06:22:19Z"}
    uid = publish(service, order)
    browser_page.goto("/")
    row = browser_page.locator(f'#newest a[href$="{uid}"]')
    expect(row).to_contain_text(MARKUP, timeout=PATIENCE_MS)
    find(browser_page, uid)
    article = shown_order(browser_page, uid)
    article.get_by_text("Exact JSON").click()
    expect(article.get_by_label("Exact JSON")).to_have_text(encode(order).decode())
    assert article.get_by_text(MARKUP, exact=True).count() >= 20
    assert browser_page.locator("main :is(img, script), #newest :is(img, script)").count() == 0
    assert browser_page.evaluate("window.ran === undefined")


def test_markup_in_the_address_is_text(service: Service, browser_page: Page) -> None:
    """A link with markup for an id shows it as text and says that there is no such order."""
    browser_page.goto(f"{service.url}/#/orders/{MARKUP}")
    expect(browser_page.get_by_role("heading", name="No such order")).to_be_visible()
    assert browser_page.locator("main :is(img, script)").count() == 0
    assert browser_page.evaluate("window.ran === undefined")


def test_a_missing_id_is_said_to_be_missing(
    service: Service, browser_page: Page, expected_errors: list[str]
) -> None:
    """An id that nobody sent gives "No such order", and "Look again" finds it once it is there."""
    expected_errors.append("404")
    order = make_order()
    uid = order["order_uid"]
    browser_page.goto("/")
    find(browser_page, uid)
    expect(browser_page.get_by_role("heading", name="No such order")).to_be_visible()
    expect(browser_page.locator("main")).to_contain_text(uid)
    publish(service, order)
    browser_page.get_by_role("button", name="Look again").click()
    shown_order(browser_page, uid)


@pytest.mark.parametrize("typed", [".", "..", "a/b", "x" * 129, "%", "%2e%2e", "ключ", "a?b#c"])
def test_what_cannot_be_an_id_is_not_asked_for(service: Service, browser_page: Page, typed: str) -> None:
    """What cannot be an id is answered by the page; no path but an order's is ever asked for."""
    asked: list[str] = []
    browser_page.goto("/")
    browser_page.on(
        "request", lambda request: asked.append(request.url) if request.resource_type == "fetch" else None
    )
    find(browser_page, typed)
    expect(browser_page.get_by_role("heading", name="No such order")).to_be_visible()
    expect(browser_page.locator("main .quoted")).to_have_text(typed)
    assert [url for url in asked if url != f"{service.url}/orders?limit=20"] == []


def test_a_new_order_appears_and_can_be_chosen(service: Service, browser_page: Page) -> None:
    """An order published while the page is open appears at the top of the newest and opens on a click."""
    browser_page.goto("/")
    expect(browser_page.get_by_text("live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    uid = publish(service, make_order())
    first = browser_page.locator("#newest li").first
    expect(first).to_contain_text(uid, timeout=PATIENCE_MS)
    first.get_by_role("link").click()
    shown_order(browser_page, uid)
    expect(first.get_by_role("link")).to_have_attribute("aria-current", "true")


def test_an_address_can_be_sent_and_gone_back_to(service: Service, browser_page: Page) -> None:
    """Every order has an address: it opens by itself, and back and forward go between orders."""
    one, two = publish(service, make_order()), publish(service, make_order())
    browser_page.goto("/")
    find(browser_page, one)
    shown_order(browser_page, one).get_by_role("button", name="Copy link").click()
    expect(browser_page.get_by_role("button", name="Copied")).to_be_visible()
    link = browser_page.evaluate("navigator.clipboard.readText()")
    browser_page.get_by_label("Order id").fill(two)
    browser_page.get_by_role("button", name="Find").click()
    shown_order(browser_page, two)
    browser_page.go_back()
    shown_order(browser_page, one)
    browser_page.go_forward()
    shown_order(browser_page, two)
    browser_page.goto("about:blank")
    browser_page.goto(link)
    shown_order(browser_page, one)


def test_the_exact_json_can_be_copied(service: Service, browser_page: Page) -> None:
    """Copying the JSON gives the text as it was sent: spaces, line ends, escapes and digits."""
    order = make_order(note="tab\there", ratio=0.1)
    text = json.dumps(order, indent="\t").replace("\n", "\r\n").replace("0.1", "1.50e+00 ")
    service.publish([text.encode()])
    browser_page.goto(f"/#/orders/{order['order_uid']}")
    article = shown_order(browser_page, order["order_uid"])
    expect(article.get_by_text("1.50e+00", exact=True)).to_be_visible()
    article.get_by_text("Exact JSON").click()
    article.get_by_role("button", name="Copy JSON").click()
    expect(article.get_by_role("button", name="Copied")).to_be_visible()
    assert browser_page.evaluate("navigator.clipboard.readText()") == text


def test_large_integers_keep_their_digits(service: Service, browser_page: Page) -> None:
    """Integers beyond 2^53 are shown digit for digit, as amounts, as ids and in unknown fields."""
    order = make_order(serial=9007199254740993, nested={"serial": 9007199254740995})
    order["items"] = [make_item(chrt_id=9223372036854775807)]
    order["payment"]["amount"] = 9223372036854775805
    uid = publish(service, order)
    browser_page.goto(f"/#/orders/{uid}")
    article = shown_order(browser_page, uid)
    for text in ("9007199254740993", '{"serial":9007199254740995}', "9223372036854775807"):
        expect(article.get_by_text(text, exact=True)).to_be_visible()
    expect(article.get_by_text("$9,223,372,036,854,775,805", exact=True)).to_be_visible()


def test_a_currency_nobody_knows_stands_behind_the_number(service: Service, browser_page: Page) -> None:
    """A currency that is no currency code is shown as it came, behind the amount."""
    order = make_order()
    order["payment"]["currency"] = "gold!"
    uid = publish(service, order)
    browser_page.goto(f"/#/orders/{uid}")
    expect(shown_order(browser_page, uid).get_by_text("1,817 gold!", exact=True)).to_be_visible()


def wild_order() -> dict[str, Any]:
    """Long words, right-to-left text and emoji wherever an order takes text of any length."""
    word, arabic, emoji = "W" * 4096, "طلب رقم واحد " * 40, "👩‍👩‍👧‍👦" * 200
    order = make_order(customer_id="دانيال", track_number="W" * 100, note=word, delivery_service=emoji)
    order["w" * 400] = {"deep": [word, arabic]}
    order["delivery"].update(name=arabic, address=word, city=emoji, region="\u202eabc" + word)
    order["payment"].update(bank=word, provider=arabic)
    order["items"] = [make_item(name=word, brand=arabic, rid=word), make_item(name=emoji, size=word)]
    return order


@pytest.mark.parametrize("width", WIDTHS)
def test_wild_text_stays_in_its_place(service: Service, browser_page: Page, width: int) -> None:
    """Words of 4 kB, right-to-left text and emoji do not widen the page, on any screen."""
    uid = publish(service, wild_order())
    browser_page.set_viewport_size({"width": width, "height": 800})
    browser_page.goto(f"/#/orders/{uid}")
    article = shown_order(browser_page, uid)
    article.get_by_text("Exact JSON").click()
    assert_no_sideways_scroll(browser_page)
    assert article.get_by_text("طلب رقم واحد").first.get_attribute("dir") == "auto"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_thousand_items_are_all_there(service: Service, browser_page: Page, width: int) -> None:
    """An order of 1,000 items shows every one of them and does not widen the page."""
    items = [make_item(name=f"item {number}", chrt_id=number) for number in range(1000)]
    uid = publish(service, make_order(items=items))
    browser_page.set_viewport_size({"width": width, "height": 800})
    browser_page.goto(f"/#/orders/{uid}")
    article = shown_order(browser_page, uid)
    assert article.get_by_role("table", name="Items").locator("tbody tr").count() == 1000
    assert article.get_by_text("item 999", exact=True).count() == 1
    assert_no_sideways_scroll(browser_page)


def assert_no_sideways_scroll(page: Page) -> None:
    """Neither the page scrolls sideways, nor does anything stick out of its card."""
    wide = page.evaluate(
        """() => {
            const limit = document.documentElement.clientWidth;
            const out = [...document.querySelectorAll(".card, .card :is(dd, td, h1), #newest a")]
                .filter((each) => each.getBoundingClientRect().right > limit)
                .map((each) => each.className || each.tagName);
            return { page: document.documentElement.scrollWidth - limit, out };
        }"""
    )
    assert wide == {"page": 0, "out": []}


def test_what_is_shown_stays_while_the_service_is_away(
    service: Service, browser_page: Page, expected_errors: list[str]
) -> None:
    """When nothing answers, the page keeps what it shows, says so, and goes on by itself afterwards."""
    expected_errors.append("ERR_INTERNET_DISCONNECTED")
    one, two = publish(service, make_order()), publish(service, make_order())
    browser_page.goto(f"/#/orders/{one}")
    shown_order(browser_page, one)
    expect(browser_page.locator("#newest li").first).to_contain_text(two, timeout=PATIENCE_MS)
    browser_page.context.set_offline(True)
    notice = browser_page.locator("#newest-notice")
    expect(notice).to_have_text("The service does not answer; trying again", timeout=PATIENCE_MS)
    expect(browser_page.locator("#newest li").first).to_contain_text(two)
    shown_order(browser_page, one)
    find(browser_page, two)
    expect(browser_page.get_by_role("heading", name="The service does not answer")).to_be_visible()
    browser_page.context.set_offline(False)
    shown_order(browser_page, two)
    expect(notice).to_be_hidden(timeout=PATIENCE_MS)


def test_the_page_forbids_everything_it_does_not_need(browser_page: Page) -> None:
    """The page comes with a policy that lets nothing in but its own files."""
    response = browser_page.goto("/")
    assert response is not None
    policy = response.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert not any("unsafe" in rule or "http" in rule for rule in policy)
