"""The state of the service: what is well, what is not and why; and a page that outlives what it shows."""

import signal

from playwright.sync_api import Page, expect

from tests.conftest import Database
from tests.e2e.conftest import LOOKS, Words
from tests.e2e.reader import PATIENCE_MS, find, make_order, publish, shown_order
from tests.service import Service


@LOOKS
def test_all_is_well(service: Service, browser_page: Page, words: Words) -> None:
    """Each part is green with its reason; partitions, percentiles, versions and masked settings are there."""
    publish(service, make_order())
    browser_page.goto("/#/state")
    expect(browser_page.locator(".overall")).to_have_text(words("level.green"))
    for part in ("database", "cache", "ingest", "source"):
        expect(browser_page.locator(f'[data-part="{part}"]')).to_have_attribute("data-level", "green")
    expect(browser_page.locator("#health")).to_have_attribute("data-level", "green")
    expect(
        browser_page.get_by_role("table", name=words("state.lag-title")).locator("tbody tr")
    ).to_have_count(4)
    expect(browser_page.get_by_role("table", name=words("latency.title"))).to_contain_text(
        words("latency.commit")
    )
    expect(browser_page.get_by_text("uvicorn", exact=True)).to_be_visible()
    browser_page.get_by_text(words("settings.title"), exact=True).click()
    settings = browser_page.get_by_role("table", name=words("settings.title"))
    expect(settings).to_contain_text("ORDERKEEP_DATABASE_URL")
    expect(settings).to_contain_text("***")
    expect(settings).not_to_contain_text("secret")


def test_ingest_is_away(service: Service, browser_page: Page, words: Words) -> None:
    """When ingest does not answer, the light is red and says why; it is green when ingest is back."""
    browser_page.goto("/#/state")
    expect(browser_page.locator(".overall")).to_have_text(words("level.green"))
    service.ingest.stop()
    expect(browser_page.locator(".overall")).to_contain_text(words("state.ingest-away"), timeout=PATIENCE_MS)
    expect(browser_page.locator(".overall")).to_have_attribute("data-level", "red")
    service.start_ingest()
    expect(browser_page.locator(".overall")).to_have_text(words("level.green"), timeout=PATIENCE_MS)


def test_the_database_is_away(
    service: Service, browser_page: Page, words: Words, database_of: Database, expected_errors: list[str]
) -> None:
    """Without its database the page says so; an order in memory is found all the same, by search too."""
    expected_errors.append("503")
    uid = publish(service, make_order())
    name = database_of.name
    browser_page.goto("/#/state")
    expect(browser_page.locator(".overall")).to_have_text(words("level.green"))
    database_of.server.execute(
        f"alter database {name} allow_connections false; "
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    )
    try:
        expect(browser_page.locator(".overall")).to_contain_text(
            words("state.database-away"), timeout=PATIENCE_MS
        )
        find(browser_page, uid)
        shown_order(browser_page, uid)
    finally:
        database_of.server.execute(f"alter database {name} allow_connections true")
    browser_page.goto("/#/state")
    expect(browser_page.locator(".overall")).to_have_text(words("level.green"), timeout=PATIENCE_MS)


def test_the_api_is_away(
    service: Service, browser_page: Page, words: Words, expected_errors: list[str]
) -> None:
    """When nothing answers, the page keeps what it shows, says so, and goes on by itself afterwards."""
    expected_errors += ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"]
    one, two = publish(service, make_order()), publish(service, make_order())
    browser_page.goto("/")
    expect(browser_page.locator("tbody tr").first).to_contain_text(two)
    service.api.send_signal(signal.SIGKILL)
    service.api.wait()
    banner = browser_page.locator("#banner")
    expect(banner).to_be_visible(timeout=PATIENCE_MS)
    expect(browser_page.locator("tbody tr").first).to_contain_text(two)
    browser_page.locator("tbody tr").first.get_by_role("link").click()
    expect(browser_page.get_by_role("heading", name=words("problem.unreachable"))).to_be_visible()
    service.start_api()
    shown_order(browser_page, two)
    expect(banner).to_be_hidden(timeout=PATIENCE_MS)
    expect(browser_page.locator("#health")).to_have_attribute("data-level", "green", timeout=PATIENCE_MS)
    find(browser_page, one)
    shown_order(browser_page, one)
