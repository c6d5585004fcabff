"""Finding an order: by whatever is known of it, by keyboard alone, and by the link that a colleague sent."""

import re
import uuid

from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Words
from tests.e2e.reader import MARKUP, PATIENCE_MS, encode, find, make_order, publish, shown_order
from tests.service import Service


@LOOKS
def test_keyboard_alone(service: Service, browser_page: Page, words: Words) -> None:
    """Slash, a few letters, an arrow and Enter lead to an order; Esc closes what was found."""
    prefix = uuid.uuid4().hex[:12]
    uids = [f"{prefix}-{name}" for name in ("a", "b")]
    service.publish([encode(make_order(order_uid=uid)) for uid in uids])
    browser_page.goto("/")
    browser_page.keyboard.press("/")
    browser_page.keyboard.type(prefix)
    results = browser_page.get_by_role("listbox", name=words("find.results"))
    expect(results.get_by_role("option")).to_have_count(3)
    browser_page.keyboard.press("Escape")
    expect(results).to_be_hidden()
    browser_page.keyboard.press("ArrowDown")
    expect(results.get_by_role("option")).to_have_count(3)
    browser_page.keyboard.press("ArrowDown")
    browser_page.keyboard.press("ArrowDown")
    expect(results.get_by_role("option", selected=True)).to_contain_text(uids[1])
    browser_page.keyboard.press("Enter")
    shown_order(browser_page, uids[1])


def test_every_meaning(service: Service, browser_page: Page, words: Words) -> None:
    """The beginning of an id, a track number and a customer are found by the same field, in pages."""
    name = uuid.uuid4().hex[:8]
    orders = [make_order(order_uid=f"{name}-{number:02}", customer_id=f"Ж {name}") for number in range(23)]
    service.publish([encode(order | {"track_number": f"T{name}"}) for order in orders])
    for text, meaning in ((name, "uid"), (f"T{name}", "track"), (f"Ж {name}", "customer")):
        browser_page.goto("/")
        find(browser_page, text)
        table = browser_page.get_by_role("table", name=words(f"meaning.{meaning}"))
        expect(table.locator("tbody tr")).to_have_count(20)
        browser_page.get_by_role("button", name=words("list.more")).click()
        expect(table.locator("tbody tr")).to_have_count(23)
        expect(browser_page.get_by_role("button", name=words("list.more"))).to_have_count(0)
        browser_page.reload()
        expect(table.locator("tbody tr")).to_have_count(20)


def test_a_whole_id_opens_the_order(service: Service, browser_page: Page) -> None:
    """A whole id leads to the order at once, and going back does not lead to the search again."""
    uid = publish(service, make_order())
    browser_page.goto("/")
    find(browser_page, f"  {uid} ")
    shown_order(browser_page, uid)
    browser_page.go_back()
    expect(browser_page).to_have_url(f"{service.url}/")


def test_recent_searches(service: Service, browser_page: Page, words: Words) -> None:
    """What was searched for is offered again, in the field and at the start, until it is forgotten."""
    uid = publish(service, make_order())
    browser_page.goto("/")
    find(browser_page, uid)
    shown_order(browser_page, uid)
    browser_page.goto("/")
    recent = browser_page.get_by_role("region", name=words("find.recent"))
    recent.get_by_role("link", name=uid).click()
    shown_order(browser_page, uid)
    browser_page.goto("/#/state")
    browser_page.keyboard.press("/")
    expect(browser_page.get_by_role("option", name=uid)).to_be_visible()
    browser_page.goto("/")
    recent.get_by_role("button", name=words("find.forget")).click()
    expect(recent).to_have_count(0)
    browser_page.reload()
    expect(browser_page.get_by_role("table")).to_be_visible()
    expect(recent).to_have_count(0)


def test_the_shortcut_can_be_switched_off(browser_page: Page, words: Words) -> None:
    """A reader who speaks to the computer can switch the key off, and it stays so."""
    browser_page.goto("/")
    browser_page.get_by_role("button", name=words("preferences.open")).click()
    browser_page.get_by_label(words("preferences.slash")).uncheck()
    browser_page.reload()
    field = browser_page.get_by_role("combobox", name=words("find.label"))
    expect(field).to_be_visible()
    browser_page.keyboard.press("/")
    expect(field).not_to_be_focused()


def test_newest_orders(service: Service, browser_page: Page, words: Words) -> None:
    """An order that is published while the page is open appears at the top, and opens on a click."""
    browser_page.goto("/")
    expect(browser_page.get_by_text(words("pulse.live"), exact=True)).to_be_visible()
    uid = publish(service, make_order())
    first = browser_page.locator("tbody tr").first
    expect(first).to_contain_text(uid, timeout=PATIENCE_MS)
    first.get_by_role("link").click()
    shown_order(browser_page, uid)


def test_orders_of_a_time(service: Service, browser_page: Page, words: Words) -> None:
    """The list can be limited to a time, of receiving or of the order's own date; the address has it."""
    day = "1999-03-04"
    uid = publish(service, make_order(date_created=f"{day}T12:00:00Z"))
    browser_page.goto("/")
    browser_page.get_by_label(words("by.title"), exact=True).select_option("date_created")
    browser_page.get_by_label(words("period.title")).select_option("custom")
    browser_page.get_by_label(words("period.since"), exact=True).fill(f"{day}T00:00:00")
    browser_page.get_by_label(words("period.since"), exact=True).blur()
    expect(browser_page).to_have_url(re.compile("since=1999-03-03T23%3A00%3A00.000Z"))
    browser_page.get_by_label(words("period.until"), exact=True).fill(f"{day}T23:59:59")
    browser_page.get_by_label(words("period.until"), exact=True).blur()
    expect(browser_page.locator("tbody tr")).to_have_count(1)
    expect(browser_page.locator("tbody tr")).to_contain_text(uid)
    browser_page.reload()
    expect(browser_page.locator("tbody tr")).to_have_count(1)


def test_an_address_can_be_sent_and_gone_back_to(service: Service, browser_page: Page, words: Words) -> None:
    """Every order has an address: it opens by itself, and back and forward go between orders."""
    one, two = publish(service, make_order()), publish(service, make_order())
    browser_page.goto("/")
    find(browser_page, one)
    shown_order(browser_page, one).get_by_role("button", name=words("order.link")).click()
    expect(browser_page.get_by_role("button", name=words("copy.done"))).to_be_visible()
    link = browser_page.evaluate("navigator.clipboard.readText()")
    find(browser_page, two)
    shown_order(browser_page, two)
    browser_page.go_back()
    shown_order(browser_page, one)
    browser_page.go_forward()
    shown_order(browser_page, two)
    browser_page.goto("about:blank")
    browser_page.goto(link)
    shown_order(browser_page, one)


@LOOKS
def test_a_missing_id(service: Service, browser_page: Page, words: Words, expected_errors: list[str]) -> None:
    """A link to an order that is not there says so, and "Look again" finds it once it is."""
    expected_errors.append("404")
    order = make_order()
    uid = order["order_uid"]
    browser_page.goto(f"/#/orders/{uid}")
    expect(browser_page.get_by_role("heading", name=words("order.none"))).to_be_visible()
    expect(browser_page.locator("main")).to_contain_text(uid)
    publish(service, order)
    browser_page.get_by_role("button", name=words("order.again")).click()
    shown_order(browser_page, uid)


def test_what_is_nothing(browser_page: Page, words: Words) -> None:
    """Whatever is typed is answered in words, is shown as text, and breaks nothing."""
    browser_page.goto("/")
    for typed in (".", "..", "a/b", "x" * 129, "%", "%2e%2e", "ключ", "a?b#c", MARKUP):
        find(browser_page, typed)
        expect(browser_page.locator("h1 .quoted")).to_have_text(typed)
        expect(browser_page.get_by_role("heading", name=words("found.nothing"))).to_be_visible()
        assert browser_page.locator("main :is(img, script)").count() == 0
        assert browser_page.evaluate("window.ran === undefined")


def test_an_address_that_is_nothing(service: Service, browser_page: Page, words: Words) -> None:
    """A link with markup for an id shows it as text; one to nowhere shows the start."""
    browser_page.goto(f"{service.url}/#/orders/{MARKUP}")
    expect(browser_page.get_by_role("heading", name=words("order.none"))).to_be_visible()
    assert browser_page.locator("main :is(img, script)").count() == 0
    assert browser_page.evaluate("window.ran === undefined")
    for address in ("/#/nowhere", "/#/live/more", "/#///", "/#?", "/#/rejects/0", "/#/%E0%A4%A"):
        browser_page.goto(f"{service.url}{address}")
        expect(browser_page.locator("main h1").first).to_be_visible()
