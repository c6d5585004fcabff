"""Live: orders and rejects as they come, counted exactly, paused at will, and resumed after an outage."""

import re
import signal
import uuid

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import LOOKS, Words
from tests.e2e.reader import encode, make_order, publish, shown_order, wait_until_live
from tests.service import Service

MANY = 10_000


def tile(page: Page, name: str) -> Locator:
    """The figure of that name above the charts."""
    return page.locator(f'[data-tile="{name}"] strong')


def open_live(page: Page) -> None:
    """Open the feed and wait until it hears what happens."""
    page.goto("/#/live")
    wait_until_live(page)


@LOOKS
def test_what_comes_is_seen(service: Service, browser_page: Page, words: Words) -> None:
    """Orders and rejects appear with their figures, and the charts say what they show."""
    open_live(browser_page)
    order = make_order(customer_id="live-customer")
    service.send([encode(order), b"no order, ask +49 30 1234567 or a@example.com"])
    row = browser_page.locator(".feed li", has_text=order["order_uid"])
    expect(row).to_contain_text("live-customer")
    expect(row).to_contain_text("1")
    expect(browser_page.locator(".feed li", has_text=words("kind.not_json")).first).to_be_visible()
    expect(tile(browser_page, "stored")).to_have_text("1")
    expect(tile(browser_page, "rejected")).to_have_text("1")
    expect(tile(browser_page, "seen")).to_have_text(re.compile(r"\d"))
    expect(tile(browser_page, "broker")).to_have_text(re.compile(r"\d"))
    expect(browser_page.locator(".chart canvas")).to_have_count(3)
    row.get_by_role("link").click()
    shown_order(browser_page, order["order_uid"])


def test_paused_and_gone_on(service: Service, browser_page: Page, words: Words) -> None:
    """While it is paused nothing moves, what comes is counted, and going on shows it."""
    open_live(browser_page)
    browser_page.get_by_role("button", name=words("live.pause")).click()
    uid = publish(service, make_order())
    expect(browser_page.locator(".held")).to_contain_text(words("live.held", orders=1, rejects=0))
    expect(browser_page.locator(".feed li", has_text=uid)).to_have_count(0)
    browser_page.get_by_role("button", name=words("live.go-on")).click()
    expect(browser_page.locator(".feed li", has_text=uid)).to_be_visible()
    expect(browser_page.locator(".held")).to_be_hidden()


def test_ten_thousand_at_once(service: Service, browser_page: Page, words: Words) -> None:
    """Of 10,000 orders within seconds each is counted, few are listed, and the page answers meanwhile."""
    open_live(browser_page)
    template = encode(make_order(order_uid="THE-UID"))
    prefix = uuid.uuid4().hex
    service.send([template.replace(b"THE-UID", f"{prefix}-{number}".encode()) for number in range(MANY)])
    service.send([b"rejected in the crowd"])
    presses = 0
    while tile(browser_page, "stored").text_content() != f"{MANY:,}":
        browser_page.get_by_role("button", name=words("live.pause")).click()
        browser_page.get_by_role("button", name=words("live.go-on")).click()
        presses += 1
        assert presses < 500, tile(browser_page, "stored").text_content()
    expect(tile(browser_page, "rejected")).to_have_text("1")
    assert browser_page.locator(".feed li").count() <= 100
    expect(browser_page.locator('[data-tile="stored"] .note')).to_contain_text(re.compile(r"\d"))


def test_a_lost_connection(
    service: Service, browser_page: Page, words: Words, expected_errors: list[str]
) -> None:
    """After the API was killed, the feed goes on where it was: what was stored meanwhile is there, once."""
    expected_errors += ["ERR_", "503"]  # until it follows new orders again, the API has no events
    open_live(browser_page)
    before = publish(service, make_order())
    expect(browser_page.locator(".feed li", has_text=before)).to_be_visible()
    service.api.send_signal(signal.SIGKILL)
    service.api.wait()
    expect(browser_page.locator("main .pulse")).to_contain_text(words("pulse.waiting"))
    expect(browser_page.locator("#banner")).to_be_visible()
    orders = [make_order() for _ in range(3)]
    service.send([encode(order) for order in orders])
    service.wait_until_acknowledged()
    service.start_api()
    for order in orders:
        expect(browser_page.locator(".feed li", has_text=order["order_uid"])).to_be_visible()
    expect(browser_page.locator("#banner")).to_be_hidden()
    after = publish(service, make_order())
    expect(browser_page.locator(".feed li", has_text=after)).to_be_visible()
    expect(tile(browser_page, "stored")).to_have_text("5")


def test_markup_in_the_feed(service: Service, browser_page: Page) -> None:
    """Markup in what comes is shown as text, and personal data in a reason is covered."""
    open_live(browser_page)
    markup = "<img src=x onerror=window.ran=1>"
    uid = publish(service, make_order(customer_id=markup, track_number="\u202eabc"))
    expect(browser_page.locator(".feed li", has_text=uid)).to_contain_text(markup)
    assert browser_page.locator("main img").count() == 0
    assert browser_page.evaluate("window.ran === undefined")
