"""The recording of the page, and the pictures of it in the documents: from a real run, on real servers.

`python -m tests.e2e.recording docs` publishes, finds an order, reads it, and replays a reject. It takes about
a minute, needs Chromium, and says what it has written.
"""

import asyncio
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from orderkeep.demo import servers
from orderkeep.embedded.ports import choose
from orderkeep.settings import Settings, environment
from orderkeep.storage.postgres_writer import PostgresWriter
from orderkeep.storage.store import Batch, Message, Refused, SourceIdentity
from tests.e2e.conftest import QUIET
from tests.e2e.reader import make_item, make_order
from tests.service import Process

LARGEST_RECORDING, LARGEST_PICTURE = 3_000_000, 200_000
WINDOW: ViewportSize = {"width": 1200, "height": 750}
SIZE = (960, 600)
COLOURS = 128

UID = "b563feb7b2b84b6order"
LATE = "c71f0e4aa1d95b2order"
ITEMS = [
    make_item(name="Mascara", brand="Vivienne", price=453, sale=30, total_price=317, nm_id=2389212),
    make_item(name="Linen shirt", brand="Northwind", price=1290, sale=0, total_price=1290, nm_id=2389213),
    make_item(name="Teapot, 1.2 l", brand="Keramik", price=860, sale=15, total_price=731, nm_id=2389214),
]


def order(uid: str, **fields: Any) -> bytes:
    """An order of three items, whose sums agree."""
    made = make_order(
        order_uid=uid, items=ITEMS, track_number="WBILM7350021", customer_id="c350817", **fields
    )
    made["payment"] |= {"goods_total": 2338, "delivery_cost": 500, "amount": 2838, "transaction": uid}
    return json.dumps(made).encode()


class Recorder:
    """Frames of a page, each for as long as it is to be seen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._frames: list[tuple[Image.Image, int]] = []

    def frame(self, milliseconds: int) -> None:
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self._frames.append((picture.resize(SIZE, Image.Resampling.LANCZOS), milliseconds))

    def type(self, text: str) -> None:
        for letter in text:
            self.page.keyboard.type(letter)
            self.frame(70)

    def caption(self, text: str) -> None:
        """A line below the page that says what is done; of the recording, not of the page."""
        self.page.evaluate(
            """(text) => {
                const line = document.getElementById("caption") ?? document.body.appendChild(
                    Object.assign(document.createElement("div"), { id: "caption" }));
                line.textContent = text;
                line.ariaHidden = "true";
                line.style.cssText = "position:fixed;inset:auto 0 0 0;z-index:99;padding:11px 24px;" +
                    "font:600 18px Inter,system-ui,sans-serif;color:#fff;background:#10242b";
            }""",
            text,
        )

    def save(self, path: Path) -> None:
        # One palette for all frames: what does not change is then the same, and takes no room.
        all_of_it = Image.new("RGB", (SIZE[0], SIZE[1] * len(self._frames)))
        for place, (picture, _) in enumerate(self._frames):
            all_of_it.paste(picture, (0, place * SIZE[1]))
        palette = all_of_it.quantize(COLOURS)
        pictures = [
            picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture, _ in self._frames
        ]
        durations = [milliseconds for _, milliseconds in self._frames]
        pictures[0].save(
            path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True
        )


@contextmanager
def running_service(folder: Path) -> Iterator[tuple[str, dict[str, str], Settings]]:
    """The demo's servers with ingest, the API, and a publisher: the address, the settings as variables."""
    with ExitStack() as stack:
        settings = stack.enter_context(servers.running(Settings(), None, folder, print, reset=True))
        settings = settings.model_copy(update={"ingest_port": choose(None, "ingest")})
        env = environment(settings)
        for name, arguments in (
            ("ingest", ["ingest"]),
            ("api", ["api", "--http-port=0"]),
            ("publish", ["publish", "--rate=25", "--bad=6%", "--seed=7"]),
        ):
            process = Process(folder, name, arguments, env)
            stack.callback(process.stop)
            if name == "publish":
                process.launch()
            elif name == "api":
                url = process.start()["address"]
            else:
                process.start()
        yield url, env, settings


def publish(folder: Path, env: dict[str, str], payload: bytes) -> None:
    (folder / "order.json").write_bytes(payload)
    process = Process(folder, "publish-one", ["publish", "--file", "order.json"], env)
    process.launch()
    assert process.wait() == 0, process.output()


def keep_aside(settings: Settings) -> None:
    """A reject that is an order by now: as if PostgreSQL had refused what it takes today."""

    async def write() -> None:
        writer = PostgresWriter(settings.database_url)
        reason = "PostgreSQL refused it: value out of range (SQLSTATE 22003)"
        refused = Refused(Message(1, 10**6, order(LATE)), "database", reason, LATE)
        source = SourceIdentity("kafka", settings.kafka_topic, "before")
        await writer.write(Batch(source, "", [], [refused], {}))
        await writer.close()

    with ThreadPoolExecutor(1) as elsewhere:  # a thread without a loop
        elsewhere.submit(asyncio.run, write()).result()


def record(page: Page, folder: Path, env: dict[str, str], path: Path) -> None:
    """The walk through the page."""
    recorder = Recorder(page)
    page.goto("/#/live")
    expect(page.locator('main .pulse[data-state="live"]')).to_be_visible()
    recorder.caption("Live: orders and rejects as they come")
    for _ in range(8):
        page.wait_for_timeout(500)
        recorder.frame(450)
    recorder.caption("$ orderkeep publish --file order.json")
    recorder.frame(900)
    publish(folder, env, order(UID))
    page.locator(".feed li", has_text=UID).wait_for()
    recorder.frame(1200)
    recorder.caption("Find: / and a few letters of whatever is known")
    page.keyboard.press("/")
    recorder.type(UID[:7])
    page.get_by_role("option").first.wait_for()
    recorder.frame(700)
    page.keyboard.press("ArrowDown")
    recorder.frame(600)
    page.keyboard.press("Enter")
    page.get_by_role("article", name=UID).wait_for()
    page.locator(".origin time").wait_for()
    recorder.caption("Read: who, where, what, how much, and where it came from")
    recorder.frame(2200)
    page.mouse.move(600, 375)
    for _ in range(4):
        page.mouse.wheel(0, 130)
        page.wait_for_timeout(120)
        recorder.frame(150)
    page.get_by_role("button", name="Price").click()
    recorder.frame(1500)
    page.get_by_role("link", name="Rejects").click()
    page.locator("tbody tr").first.wait_for()
    recorder.caption("Rejects: kept byte for byte, with the reason")
    recorder.frame(1600)
    page.get_by_label("Kind").select_option("database")
    page.locator("td.kind a").first.click()
    page.get_by_role("button", name="Replay").wait_for()
    recorder.frame(1500)
    recorder.caption("Replay: through the pipeline again")
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("link", name="Open the order").wait_for()
    recorder.frame(1800)
    page.get_by_role("link", name="Open the order").click()
    page.get_by_role("article", name=LATE).wait_for()
    recorder.caption("It is an order now")
    recorder.frame(2200)
    recorder.save(path)
    say(path, LARGEST_RECORDING)


def picture(browser: Browser, url: str, address: str, path: Path, wait: str, **options: Any) -> None:
    """One view as a picture of few colours."""
    look = {"viewport": {"width": 1200, "height": 760}, "locale": "en-US", "timezone_id": "Europe/Berlin"}
    with browser.new_context(base_url=url, **(look | options)) as context:
        page = context.new_page()
        page.goto(address)
        page.locator(wait).first.wait_for()
        page.wait_for_timeout(20_000 if "live" in address else 500)
        taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    taken.quantize(200, dither=Image.Dither.NONE).save(path, optimize=True)
    say(path, LARGEST_PICTURE)


def say(path: Path, largest: int) -> None:
    size = path.stat().st_size
    print(f"{path}: {size:,} bytes")  # noqa: T201 - it is a command
    if size > largest:
        raise SystemExit(f"{path} is larger than {largest:,} bytes")


def conflict(folder: Path, env: dict[str, str], page: Page) -> int:
    """The number of a conflict that differs in a few fields."""
    changed = json.loads(order(UID))
    changed["payment"]["amount"] = 2839
    changed["delivery"]["city"] = "Hamburg"
    publish(folder, env, json.dumps(changed).encode())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = page.evaluate("fetch('/rejects?kind=conflict&limit=50').then((answer) => answer.json())")
        for one in found["rejects"]:
            if one["order_uid"] == UID:
                return int(one["id"])
    raise SystemExit("the conflict was not kept")


def main(docs: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="orderkeep-recording-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    executable = shutil.which("chromium")
    if executable is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    try:
        with running_service(folder) as (url, env, settings), sync_playwright() as playwright:
            keep_aside(settings)
            browser = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
            with browser.new_context(
                base_url=url,
                viewport=WINDOW,
                locale="en-US",
                timezone_id="Europe/Berlin",
            ) as context:
                page = context.new_page()
                record(page, folder, env, docs / "walkthrough.gif")
                number = conflict(folder, env, page)
            row = "tbody tr"
            picture(browser, url, f"/#/orders/{UID}", docs / "page.png", ".origin time")
            picture(browser, url, "/#/live", docs / "page-live.png", ".feed li", color_scheme="dark")
            picture(browser, url, f"/#/rejects/{number}", docs / "page-reject.png", ".sides mark")
            picture(browser, url, "/#/state", docs / "page-state.png", row, locale="ru-RU")
            phone = {"viewport": {"width": 390, "height": 760}}
            picture(browser, url, "/#/", docs / "page-phone.png", row, **phone)
            browser.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
