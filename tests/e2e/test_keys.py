"""Where the service has keys: asked for once, kept for the tab alone; one is not enough, one ends."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.e2e.conftest import LOOKS, text_of
from tests.e2e.reader import make_order, publish, shown_order, wait_until_live
from tests.service import Process, Service, run_command, wait_until


class Guarded:
    """An API process beside that of the service, which asks for keys."""

    def __init__(self, service: Service, folder: Path) -> None:
        self._folder = folder
        self._env = {**service.env, "ORDERKEEP_KEYS_FILE": str(folder / "keys.json")}
        self.url = ""
        self.reader, self.admin = self.new("read"), self.new("read,admin")
        self._api = Process(folder, "guarded", ["api", "--http-port=0"], self._env)
        self.url = self._api.start()["address"]

    def stop(self) -> None:
        assert self._api.stop() == 0

    def new(self, scopes: str) -> dict[str, str]:
        """A key, which the process knows if it runs."""
        made: dict[str, str] = json.loads(self._keys("new", "--name", "page", "--scope", scopes, "--json"))
        sent = {"authorization": f"Bearer {made['key']}"}
        if self.url:
            wait_until(
                lambda: httpx.get(f"{self.url}/orders", headers=sent).status_code == 200, "it is known"
            )
        return made

    def revoke(self, key: dict[str, str]) -> None:
        self._keys("revoke", key["id"])

    def _keys(self, *arguments: str) -> str:
        done = run_command(self._folder, ["keys", *arguments], self._env)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def guarded(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(service, tmp_path_factory.mktemp("guarded"))
    yield made
    made.stop()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """Where the service without keys is open, so that texts can be asked of it."""
    return context.new_page()


def give(dialog: Locator, key: str) -> None:
    dialog.locator("#key-field").fill(key)
    dialog.locator("button[type=submit]").click()


def forget(page: Page) -> None:
    page.get_by_role("button", name="Preferences").click()
    page.get_by_role("button", name="Forget the key").click()


@LOOKS
def test_a_key(
    service: Service, guarded: Guarded, page: Page, context: BrowserContext, look: tuple[str, str]
) -> None:
    """The page asks for a key, says when one is not taken, and keeps it for the tab."""
    uid = publish(service, make_order())
    text = text_of(page, look[0].partition("-")[0])
    wanted, refused, title = (text(f"key.{name}") for name in ("wanted", "refused", "title"))
    page.goto(f"{guarded.url}/#/orders/{uid}")
    dialog = page.get_by_role("dialog", name=title)
    expect(dialog).to_contain_text(wanted)
    give(dialog, "wrong")
    expect(dialog).to_contain_text(refused)
    give(dialog, guarded.reader["key"])
    shown_order(page, uid)
    expect(page.locator("#health")).to_have_attribute("data-level", re.compile("green|yellow"))
    page.reload()
    shown_order(page, uid)
    stored = page.evaluate("[Object.values(sessionStorage), Object.values(localStorage)].map(String)")
    assert guarded.reader["key"] in stored[0]
    assert guarded.reader["key"] not in stored[1]
    other = context.new_page()
    other.goto(f"{guarded.url}/#/orders/{uid}")
    expect(other.get_by_role("dialog", name=title)).to_be_visible()


def test_what_a_key_does_not_allow(service: Service, guarded: Guarded, page: Page) -> None:
    """A reject with what was sent is not for every key, and the page says so; with another it is replayed."""
    number = httpx.get(f"{service.url}/rejects").json()["rejects"][0]["id"]
    page.goto(f"{guarded.url}/#/rejects/{number}")
    dialog = page.get_by_role("dialog", name="Access key")
    give(dialog, guarded.reader["key"])
    expect(page.get_by_text("This key does not allow it")).to_be_visible()
    forget(page)
    give(dialog, guarded.admin["key"])
    page.get_by_role("button", name="Replay").click()
    expect(page.locator(".reject-head .check p").first).to_contain_text("Still")


def test_a_key_that_ends(service: Service, guarded: Guarded, page: Page) -> None:
    """When a key is revoked its events end; the page asks for another, and goes on from where it was."""
    key = guarded.new("read,admin")
    page.goto(f"{guarded.url}/#/live")
    dialog = page.get_by_role("dialog", name="Access key")
    give(dialog, key["key"])
    wait_until_live(page)
    first, second = make_order(), make_order()
    publish(service, first)
    expect(page.get_by_text(first["order_uid"]).first).to_be_visible()
    guarded.revoke(key)
    expect(dialog).to_be_visible()
    publish(service, second)
    give(dialog, guarded.admin["key"])
    expect(page.get_by_text(second["order_uid"]).first).to_be_visible()
