"""The page for everyone: WCAG 2.2 AA as far as axe-core sees it, languages, themes, narrow screens."""

from collections.abc import Callable

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import LOOKS, Words, text_of
from tests.e2e.reader import WIDTHS, assert_no_sideways_scroll, encode, make_item, make_order, publish
from tests.service import Service, wait_until

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="package")
def views(service: Service) -> list[str]:
    """An address of every kind, each with something to show."""
    order = make_order(items=[make_item(), make_item(total_price=1)], note="other")
    uid = publish(service, order)
    service.send([encode(order | {"locale": "other"})])

    def conflicts() -> list[int]:
        found = httpx.get(f"{service.url}/rejects", params={"kind": "conflict"}).json()["rejects"]
        return [one["id"] for one in found if one["order_uid"] == uid]

    kinds = ["invalid", "not_utf8", "tombstone"]
    lists = [httpx.get(f"{service.url}/rejects", params={"kind": kind}).json()["rejects"] for kind in kinds]
    rejects = [*wait_until(conflicts, "the conflict is kept"), *(found[0]["id"] for found in lists)]
    return [
        "/#/",
        f"/#/orders/{uid}",
        "/#/orders/none..of..these/",
        "/#/find/customer-1",
        "/#/find/nothing at all",
        "/#/live",
        "/#/rejects",
        "/#/state",
        *(f"/#/rejects/{number}" for number in rejects),
    ]


def show(page: Page, address: str) -> None:
    """Go to a view, and wait until it has something to show."""
    page.goto(address)
    expect(page.locator("main h1").first).to_be_visible()
    expect(page.locator('[aria-busy="true"]')).to_have_count(0)
    if address != "/#/live":
        expect(page.locator("main :is(table, .card)").first).to_be_visible()


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong, in short."""
    found = (
        Axe()
        .run(page, options={"runOnly": RULES, "resultTypes": ["violations"], "preload": False})
        .response["violations"]
    )
    return [
        f"{each['id']}: {node['html'][:160]} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


@LOOKS
def test_axe_finds_nothing(browser_page: Page, views: list[str], words: Words) -> None:
    """Every view, the search with its results, and the preferences, in both themes and languages."""
    found: dict[str, list[str]] = {}
    for address in views:
        show(browser_page, address)
        if "orders/" in address and browser_page.locator("details").count():
            browser_page.locator("details summary").click()
        found[address] = violations(browser_page)
    browser_page.keyboard.press("/")
    browser_page.keyboard.type("customer-1")
    expect(browser_page.get_by_role("option").first).to_be_visible()
    browser_page.keyboard.press("ArrowDown")
    found["search"] = violations(browser_page)
    browser_page.keyboard.press("Escape")
    browser_page.get_by_role("button", name=words("preferences.open")).click()
    found["preferences"] = violations(browser_page)
    browser_page.get_by_role("button", name=words("preferences.give")).click()
    found["key"] = violations(browser_page)
    assert {address: wrong for address, wrong in found.items() if wrong} == {}


def test_no_view_scrolls_sideways(browser_page: Page, views: list[str]) -> None:
    """From a narrow phone to a wide screen, no view is wider than its window."""
    for address in views:
        show(browser_page, address)
        for width in WIDTHS:
            browser_page.set_viewport_size({"width": width, "height": 800})
            assert_no_sideways_scroll(browser_page)


def test_the_language_is_switched(browser_page: Page) -> None:
    """A switch changes all words at once, and is remembered; what is shown stays."""
    browser_page.goto("/#/state")
    english, russian = (text_of(browser_page, language) for language in ("en", "ru"))
    expect(browser_page.get_by_role("heading", name=english("view.state"), exact=True)).to_be_visible()
    browser_page.get_by_role("button", name=english("preferences.open")).click()
    browser_page.get_by_role("radio", name="Русский").check()
    for page_again in range(2):
        expect(browser_page.get_by_role("heading", name=russian("view.state"), exact=True)).to_be_visible()
        expect(browser_page.get_by_role("link", name=russian("view.rejects"))).to_be_visible()
        expect(browser_page.locator("html")).to_have_attribute("lang", "ru")
        if not page_again:
            browser_page.reload()


def test_the_theme_is_switched(browser_page: Page, words: Words) -> None:
    """The system's theme is taken unless the reader chooses another one, which is remembered."""
    browser_page.goto("/#/live")
    ground: Callable[[], str] = lambda: str(  # noqa: E731
        browser_page.evaluate("getComputedStyle(document.body).backgroundColor")
    )
    light = ground()
    browser_page.emulate_media(color_scheme="dark")
    dark = ground()
    assert light != dark
    browser_page.get_by_role("button", name=words("preferences.open")).click()
    browser_page.get_by_role("radio", name=words("theme.light")).check()
    assert ground() == light
    browser_page.reload()
    assert ground() == light
    browser_page.get_by_role("button", name=words("preferences.open")).click()
    browser_page.get_by_role("radio", name=words("theme.system")).check()
    assert ground() == dark


def test_motion_is_reduced(service: Service, browser_page: Page) -> None:
    """For who wants less motion nothing is animated."""
    publish(service, make_order())
    browser_page.emulate_media(reduced_motion="reduce")
    browser_page.goto("/#/live")
    expect(browser_page.locator("main .pulse")).to_be_visible()
    uid = publish(service, make_order())
    row = browser_page.locator(".feed li", has_text=uid)
    expect(row).to_be_visible()
    assert row.evaluate("row => getComputedStyle(row).animationName") == "none"


def test_a_screen_reader_is_told(service: Service, browser_page: Page) -> None:
    """Going to a view moves the focus to it, and what came of it is said; a link leads past the bar."""
    uid = publish(service, make_order())
    browser_page.goto("/#/rejects")
    browser_page.get_by_role("link", name="State", exact=True).click()
    expect(browser_page.locator("main")).to_be_focused()
    browser_page.goto(f"/#/orders/{uid}")
    expect(browser_page.locator("#said")).to_contain_text(f"Order {uid}")
    browser_page.reload()
    browser_page.keyboard.press("Tab")
    expect(browser_page.locator("#skip")).to_be_focused()
    browser_page.keyboard.press("Enter")
    expect(browser_page.locator("main")).to_be_focused()
