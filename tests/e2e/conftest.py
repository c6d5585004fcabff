"""The page's tests: one service and one browser for all of them, and a page that may complain of nothing."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    expect,
    sync_playwright,
)

from orderkeep.embedded import KafkaServer, PostgresServer
from orderkeep.embedded.ports import choose
from tests.conftest import Database, drop_database, make_database
from tests.integration.reject_scene import MESSAGES
from tests.requirements import need
from tests.service import Service

# What Chromium would otherwise ask of other hosts on its own account.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TOPIC = "page"

expect.set_options(timeout=30_000)

Words = Callable[..., str]
"""The page's text of a key, in the language of the test; `count` chooses the plural."""


@pytest.fixture(scope="package")
def service(
    kafka: KafkaServer, migrated: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The whole service, with a message of every kind that is rejected in it."""
    with ExitStack() as cleanup:
        kafka.create_topic(TOPIC, partitions=4)
        cleanup.callback(kafka.delete_topic, TOPIC)
        database = make_database(migrated)
        cleanup.callback(drop_database, database)
        running = Service(
            tmp_path_factory.mktemp("page"),
            brokers=kafka.bootstrap,
            topic=TOPIC,
            database_url=database.ingest_url,
            read_url=database.reader_url,
            env={"ORDERKEEP_INGEST_PORT": str(choose(None, "ingest"))},
        )
        cleanup.callback(running.stop)
        running.start()
        running.send([payload for payload, _ in MESSAGES], partition=0)
        running.wait_until_acknowledged()
        yield running


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Only for this package: Playwright keeps an event loop running in the thread."""
    executable = shutil.which("chromium")
    need(executable is not None, "Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(params=["en-US light"])
def look(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The language and the theme of the reader; tests that are about all of the page ask for `LOOKS`."""
    locale, theme = request.param.split()
    return locale, theme


LOOKS = pytest.mark.parametrize("look", ["en-US light", "ru-RU dark"], indirect=True)


@pytest.fixture
def expected_errors() -> list[str]:
    """Parts of console errors that a test brings about on purpose; it appends to the list."""
    return []


@pytest.fixture
def context(service: Service, chromium: Browser, look: tuple[str, str]) -> Iterator[BrowserContext]:
    """A browser of its own, in Berlin's zone."""
    made: Any = chromium.new_context(
        locale=look[0],
        color_scheme=look[1],  # type: ignore[arg-type]
        timezone_id="Europe/Berlin",
        base_url=service.url,
    )
    made.set_default_timeout(30_000)
    made.grant_permissions(["clipboard-read", "clipboard-write"], origin=service.url)
    yield made
    made.close()


@pytest.fixture
def browser_page(context: BrowserContext, service: Service, expected_errors: list[str]) -> Iterator[Page]:
    """A page. At teardown the test fails on an error in the console, an uncaught exception, a dialog, or a
    request to any address but the service's.
    """
    complaints = record_complaints(context, service.url)
    yield context.new_page()
    context.close()
    assert [said for said in complaints if not any(part in said for part in expected_errors)] == []


@pytest.fixture
def words(browser_page: Page, look: tuple[str, str]) -> Words:
    """The texts are asked of the page itself, whatever is open in it."""
    return text_of(browser_page, look[0].partition("-")[0])


def text_of(page: Page, language: str) -> Words:
    def text(key: str, **values: object) -> str:
        if page.url == "about:blank":
            page.goto("/")
        found = page.evaluate(
            """async ([language, key, count]) => {
                const texts = (await import(`/static/texts/${language}.js`)).default;
                const text = texts[key];
                return typeof text === "string" ? text : text[new Intl.PluralRules(language).select(count)];
            }""",
            [language, key, values.get("count", 0)],
        )
        return str(found).format(**values)

    return text


def record_complaints(context: BrowserContext, url: str) -> list[str]:
    """Collect what must not happen in `context`, from now on, into the list returned."""
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"console: {message.text} ({message.location['url']})")

    def on_request(request: Request) -> None:
        if not request.url.startswith((f"{url}/", f"blob:{url}/")):
            complaints.append(f"request elsewhere: {request.url}")

    def on_dialog(dialog: Dialog) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    context.on("console", on_console)
    context.on("request", on_request)
    context.on("weberror", lambda error: complaints.append(f"exception: {error.error}"))
    # A listener that leaves the dialog open would stall the page instead of failing the test.
    context.on("dialog", on_dialog)
    return complaints


@pytest.fixture(scope="package")
def database_of(service: Service, migrated: PostgresServer) -> Database:
    """The database of the service, for what only its owner can do."""
    return Database(migrated, service.env["ORDERKEEP_DATABASE_URL"].rpartition("/")[2])
