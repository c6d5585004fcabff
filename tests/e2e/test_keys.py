"""Where the service has keys: asked for once, kept for the tab alone, told when one is not enough."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.e2e.key_proxy import ADMIN, READER, key_proxy
from tests.e2e.reader import make_order, publish, shown_order
from tests.service import Service


@pytest.fixture
def guarded(service: Service) -> Iterator[str]:
    with key_proxy(service.url) as url:
        yield url


def test_a_key(service: Service, guarded: str, context: BrowserContext) -> None:
    """The page asks for a key, says when one is not taken, keeps it for the tab, and forgets it when told."""
    uid = publish(service, make_order())
    page = context.new_page()
    page.goto(f"{guarded}/#/orders/{uid}")
    dialog = page.get_by_role("dialog", name="Access key")
    dialog.get_by_label("Key", exact=True).fill("wrong")
    dialog.get_by_role("button", name="Use the key").click()
    expect(dialog.get_by_text("does not take this key")).to_be_visible()
    dialog.get_by_label("Key", exact=True).fill(READER)
    page.keyboard.press("Enter")
    shown_order(page, uid)
    page.reload()
    shown_order(page, uid)
    stored = page.evaluate("[Object.values(sessionStorage), Object.values(localStorage)].map(String)")
    assert READER in stored[0]
    assert READER not in stored[1]
    other = context.new_page()
    other.goto(f"{guarded}/#/orders/{uid}")
    expect(other.get_by_role("dialog", name="Access key")).to_be_visible()
    page.get_by_role("button", name="Preferences").click()
    page.get_by_role("button", name="Forget the key").click()
    expect(dialog).to_be_visible()


def test_what_a_key_does_not_allow(service: Service, guarded: str, context: BrowserContext) -> None:
    """A replay that the key does not allow says so; with another key it is made."""
    number = httpx.get(f"{service.url}/rejects").json()["rejects"][0]["id"]
    page = context.new_page()
    page.goto(f"{guarded}/#/rejects/{number}")
    dialog = page.get_by_role("dialog", name="Access key")
    dialog.get_by_label("Key", exact=True).fill(READER)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("Your key does not allow a replay")).to_be_visible()
    page.get_by_role("button", name="Preferences").click()
    page.get_by_role("button", name="Forget the key").click()
    dialog.get_by_label("Key", exact=True).fill(ADMIN)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator(".reject-head .check p").first).to_contain_text("Still")
