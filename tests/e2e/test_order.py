"""An order, for reading: laid out, checked, exact, printed, and unmoved by whatever is in it."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect

from orderkeep.embedded import RedisServer
from tests.e2e.conftest import LOOKS, Words
from tests.e2e.reader import (
    MARKUP,
    assert_no_sideways_scroll,
    encode,
    make_item,
    make_order,
    publish,
    shown_order,
)
from tests.service import Process, Service, wait_until

MONEY = {"en": ("$1,817", "$317"), "ru": ("1 817 $", "317 $")}
CREATED = {"en": "Nov 26, 2021, 07:22:19 AM GMT+1", "ru": "26 нояб. 2021 г., 07:22:19 GMT+1"}  # noqa: RUF001 - in Russian


@LOOKS
def test_everything_is_laid_out(
    service: Service, browser_page: Page, words: Words, look: tuple[str, str]
) -> None:
    """Delivery, money by currency and locale, dates by zone, items, unknown fields, source and time."""
    language = look[0].partition("-")[0]
    uid = publish(service, make_order(gift_note="with love"))
    browser_page.goto(f"/#/orders/{uid}")
    order = shown_order(browser_page, uid)
    for text in ("Ada Example", "ada@example.com", "Mascara", "Brand", "202", "with love", *MONEY[language]):
        expect(order.get_by_text(text, exact=True).first).to_be_visible()
    created = order.get_by_text(CREATED[language])
    expect(created).to_have_attribute("title", "2021-11-26T06:22:19Z")
    expect(order.locator('.tag[data-source="memory"]')).to_contain_text(re.compile(r"\d"))
    expect(order.get_by_text(words("sums.agree"))).to_be_visible()
    expect(browser_page.locator("#said")).to_contain_text(uid)
    expect(browser_page.locator("html")).to_have_attribute("lang", language)


def test_where_it_came_from(service: Service, browser_page: Page) -> None:
    """The order says from which partition and position it was received; one that was posted, that it was."""
    uid = publish(service, make_order())
    origin = httpx.get(f"{service.url}/orders/{uid}/origin").json()
    browser_page.goto(f"/#/orders/{uid}")
    words = browser_page.locator(".origin")
    expect(words).to_contain_text(
        f"from Apache Kafka, topic page, partition {origin['partition']}, position {origin['position']:,}"
    )
    expect(words.locator("time")).to_have_attribute("title", origin["received_at"])
    order = make_order()
    assert httpx.post(f"{service.url}/orders", json=order).status_code == 201
    browser_page.goto(f"/#/orders/{order['order_uid']}")
    expect(words).to_contain_text("over HTTP")


@contextmanager
def another_api(service: Service, **settings: str) -> Iterator[str]:
    """The address of one more process of the API, with these settings."""
    env = {**service.env, **{f"ORDERKEEP_{name}": value for name, value in settings.items()}}
    process = Process(service.folder, "another-api", ["api", "--http-port=0"], env)
    try:
        yield process.start()["address"]
    finally:
        assert process.stop() == 0


def test_the_database_is_named(service: Service, chromium: Browser) -> None:
    """An order that is not in memory is said to come from the database."""
    uid = publish(service, make_order())
    with another_api(service, CACHE_MAX_BYTES="0") as url, chromium.new_context(locale="en-US") as context:
        page = context.new_page()
        page.goto(f"{url}/#/orders/{uid}")
        expect(page.locator('.tag[data-source="database"]')).to_contain_text("from the database in")


def test_redis_is_named(service: Service, redis: RedisServer, chromium: Browser) -> None:
    """An order that Redis had is said to come from there, and the state has Redis as a part."""
    uid = publish(service, make_order())
    with (
        another_api(service, CACHE="redis", REDIS_URL=redis.url, REDIS_DEADLINE_SECONDS="5") as url,
        chromium.new_context(locale="en-US") as context,
    ):
        answers = f"{url}/orders/{uid}"
        wait_until(lambda: httpx.get(answers).headers["x-orderkeep-cache"] == "redis", "Redis has it")
        page = context.new_page()
        page.goto(f"{url}/#/orders/{uid}")
        expect(page.locator('.tag[data-source="redis"]')).to_contain_text("from Redis in")
        page.goto(f"{url}/#/state")
        expect(page.locator('[data-part="redis"]')).to_have_attribute("data-level", "green")


@LOOKS
def test_sums_that_do_not_agree(service: Service, browser_page: Page, words: Words) -> None:
    """Sums that differ are pointed out, each with its difference; numbers of 64 bits are added exactly."""
    order = make_order(items=[make_item(), make_item(total_price=318)])
    order["payment"] |= {"amount": 9223372036854775807, "goods_total": 9223372036854774000}
    uid = publish(service, order)
    browser_page.goto(f"/#/orders/{uid}")
    article = shown_order(browser_page, uid)
    expect(article.get_by_text(words("sums.differ"))).to_be_visible()
    lines = article.locator(".check li").all_text_contents()
    assert len(lines) == 2  # 318 is 317.1 rounded up: senders round as they like
    digits = [re.sub(r"[^\d:]", "", line) for line in lines]
    assert digits[0].startswith("635")
    assert digits[0].endswith("9223372036854773365")
    assert digits[1].endswith("307")


@LOOKS
def test_items_sort(service: Service, browser_page: Page, words: Words) -> None:
    """A press on a column's head sorts by it, another one turns it round; numbers sort as numbers."""
    prices = [10, 9, 9223372036854775807, 100]
    items = [
        make_item(name=f"item {number}", price=price, sale=0, total_price=price)
        for number, price in enumerate(prices)
    ]
    uid = publish(service, make_order(items=items))
    browser_page.goto(f"/#/orders/{uid}")
    table = shown_order(browser_page, uid).get_by_role("table", name=words("field.items"))
    head = table.get_by_role("columnheader", name=words("field.price"))
    names = table.locator("tbody td.name .value")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(names).to_have_text(["item 1", "item 0", "item 3", "item 2"])
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(names).to_have_text(["item 2", "item 3", "item 0", "item 1"])


def test_the_exact_json(service: Service, browser_page: Page, words: Words, tmp_path: Path) -> None:
    """Copying and saving give the text as it was sent: spaces, line ends, escapes and digits."""
    order = make_order(note="tab\there", ratio=0.1, name="Ж👩‍👩‍👧")
    text = json.dumps(order, indent="\t").replace("\n", "\r\n").replace("0.1", "1.50e+00 ")
    service.publish([text.encode()])
    browser_page.goto(f"/#/orders/{order['order_uid']}")
    article = shown_order(browser_page, order["order_uid"])
    expect(article.get_by_text("1.50e+00", exact=True)).to_be_visible()
    article.get_by_text(words("json.title")).click()
    article.get_by_role("button", name=words("json.copy")).click()
    expect(article.get_by_role("button", name=words("copy.done"))).to_be_visible()
    assert browser_page.evaluate("navigator.clipboard.readText()") == text
    with browser_page.expect_download() as saved:
        article.get_by_role("button", name=words("json.download")).click()
    saved.value.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == text.encode()
    assert saved.value.suggested_filename == f"{order['order_uid']}.json"


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


def test_on_paper(service: Service, browser_page: Page, words: Words) -> None:
    """Printed, the order is there and nothing to press is."""
    uid = publish(service, make_order())
    browser_page.goto(f"/#/orders/{uid}")
    article = shown_order(browser_page, uid)
    browser_page.emulate_media(media="print")
    expect(article.get_by_text("Ada Example")).to_be_visible()
    expect(browser_page.locator(".top")).to_be_hidden()
    expect(article.get_by_role("button", name=words("order.print"))).to_be_hidden()
    assert len(browser_page.pdf()) > 1000


def test_markup_is_text(service: Service, browser_page: Page, words: Words) -> None:
    """An order whose every text field is markup is shown as that text, and nothing of it runs."""
    order = make_order(note=MARKUP, nested={MARKUP: MARKUP})
    order[MARKUP] = MARKUP
    for part in (order, order["delivery"], order["payment"], order["items"][0]):
        part.update({name: MARKUP for name, value in part.items() if isinstance(value, str)})
    order |= {"order_uid": uuid.uuid4().hex, "date_created": "2021-11-26T06:22:19Z"}
    uid = publish(service, order)
    browser_page.goto("/")
    expect(browser_page.locator(f'tr[data-uid="{uid}"]')).to_contain_text(MARKUP)
    browser_page.goto(f"/#/orders/{uid}")
    article = shown_order(browser_page, uid)
    article.get_by_text(words("json.title")).click()
    expect(article.get_by_label(words("json.title"))).to_have_text(encode(order).decode())
    assert article.get_by_text(MARKUP, exact=True).count() >= 20
    assert browser_page.locator("main :is(img, script)").count() == 0
    assert browser_page.evaluate("window.ran === undefined")


def wild_order() -> dict[str, Any]:
    """Long words, right-to-left text and emoji wherever an order takes text of any length."""
    word, arabic, emoji = "W" * 4096, "طلب رقم واحد " * 40, "👩‍👩‍👧‍👦" * 200
    order = make_order(customer_id="دانيال", track_number="W" * 100, note=word, delivery_service=emoji)
    order["w" * 400] = {"deep": [word, arabic]}
    order["delivery"].update(name=arabic, address=word, city=emoji, region="\u202eabc" + word)
    order["payment"].update(bank=word, provider=arabic, currency=emoji)
    order["items"] = [make_item(name=word, brand=arabic, rid=word), make_item(name=emoji, size=word)]
    order["items"] += [make_item(name=f"item {number}", chrt_id=number) for number in range(998)]
    return order


def test_wild_text_stays_in_its_place(service: Service, browser_page: Page, words: Words) -> None:
    """1,000 items, words of 4 kB, right-to-left text and emoji are all there and widen no screen."""
    uid = publish(service, wild_order())
    browser_page.goto(f"/#/orders/{uid}")
    article = shown_order(browser_page, uid)
    article.get_by_text(words("json.title")).click()
    assert article.get_by_role("table", name=words("field.items")).locator("tbody tr").count() == 1000
    assert article.get_by_text("item 997", exact=True).count() == 1
    assert article.get_by_text("طلب رقم واحد").first.get_attribute("dir") == "auto"
    for width in (320, 768, 1920):
        browser_page.set_viewport_size({"width": width, "height": 800})
        assert_no_sideways_scroll(browser_page)


def test_odd_text_everywhere(service: Service, browser_page: Page) -> None:
    """Emoji, text that turns its direction, and nothing at all, in every text field of an order."""
    browser_page.set_viewport_size({"width": 320, "height": 700})
    for value in ("👩‍👩‍👧‍👦", "\u202etxt.exe", "ﷺ" * 50, "Ж" * 256, ""):
        order = make_order()
        for part in (order, order["delivery"], order["payment"], order["items"][0]):
            part.update({name: value for name, text in part.items() if isinstance(text, str)})
        order |= {"order_uid": uuid.uuid4().hex, "date_created": "2021-11-26T06:22:19Z"}
        uid = publish(service, order)
        browser_page.goto(f"/#/orders/{uid}")
        shown_order(browser_page, uid)
        assert_no_sideways_scroll(browser_page)
