"""The page's tests look through Debian's Chromium and fail on anything it complains about."""

import shutil
from collections.abc import Iterator
from typing import Protocol

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    sync_playwright,
)

from tests.requirements import need

# What Chromium would otherwise ask of other hosts on its own account.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Address(Protocol):
    """What the browser needs of the running service."""

    url: str


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Only as long as a module: Playwright keeps an event loop running in the thread."""
    executable = shutil.which("chromium")
    need(executable is not None, "Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def expected_errors() -> list[str]:
    """Parts of console errors that a test brings about on purpose; it appends to the list."""
    return []


@pytest.fixture
def browser_page(service: Address, chromium: Browser, expected_errors: list[str]) -> Iterator[Page]:
    """A page of its own, in English and in Berlin's zone.

    At teardown the test fails on an error in the console, an uncaught exception, a dialog, or a request to
    any address but the service's.
    """
    context = chromium.new_context(locale="en-US", timezone_id="Europe/Berlin", base_url=service.url)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=service.url)
    complaints = record_complaints(context, service.url)
    yield context.new_page()
    context.close()
    assert [said for said in complaints if not any(part in said for part in expected_errors)] == []


def record_complaints(context: BrowserContext, url: str) -> list[str]:
    """Collect what must not happen in `context`, from now on, into the list returned."""
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"console: {message.text} ({message.location['url']})")

    def on_request(request: Request) -> None:
        if not request.url.startswith(f"{url}/"):
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
