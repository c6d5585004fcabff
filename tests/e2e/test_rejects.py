"""Rejects: filtered, explained, with the fault marked, compared where they conflict, and replayed."""

import json
import re
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from orderkeep.order import MAX_DEPTH
from tests.conftest import Database
from tests.e2e.conftest import LOOKS, Words
from tests.e2e.reader import WIDTHS, assert_no_sideways_scroll, encode, make_order, publish, shown_order
from tests.service import Service, wait_until


def rejects_of(service: Service, **wanted: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{service.url}/rejects", params={"limit": 500, **wanted}).json()[
        "rejects"
    ]
    return found


def reject(service: Service, payload: bytes) -> int:
    """Send what is no order: the id of its reject."""
    newest = max((one["id"] for one in rejects_of(service, limit=1)), default=0)
    service.send([payload])
    return int(
        wait_until(lambda: [one["id"] for one in rejects_of(service) if one["id"] > newest], "it is kept")[0]
    )


@LOOKS
def test_filtered_by_kind_and_time(service: Service, browser_page: Page, words: Words) -> None:
    """The list can be limited to a kind and a time; the address has both."""
    browser_page.goto("/#/rejects")
    rows = browser_page.locator("tbody tr")
    expect(rows.first).to_be_visible()
    browser_page.get_by_label(words("column.kind")).select_option("conflict")
    expect(rows).to_have_count(len(rejects_of(service, kind="conflict")))
    expect(rows.first).to_contain_text(words("kind.conflict"))
    browser_page.get_by_label(words("period.title")).select_option("1h")
    expect(browser_page).to_have_url(re.compile(r"#/rejects\?kind=conflict&since=1h$"))
    expect(rows).to_have_count(len(rejects_of(service, kind="conflict")))
    browser_page.get_by_label(words("period.title")).select_option("custom")
    browser_page.get_by_label(words("period.since"), exact=True).fill("2000-01-01T00:00:00")
    browser_page.get_by_label(words("period.until"), exact=True).fill("2000-01-02T00:00:00")
    browser_page.get_by_label(words("period.until"), exact=True).blur()
    expect(browser_page.get_by_text(words("rejects.none"))).to_be_visible()


def test_every_reject_has_its_page(service: Service, browser_page: Page, words: Words) -> None:
    """Each reject of every kind is shown with what it means, on a phone too."""
    browser_page.set_viewport_size({"width": 320, "height": 700})
    for one in rejects_of(service):
        browser_page.goto(f"/#/rejects/{one['id']}")
        article = browser_page.get_by_role("article", name=words(f"kind.{one['kind']}"))
        expect(article.locator(".meaning")).to_have_text(words(f"means.{one['kind']}"))
        expect(article.get_by_text(words(f"advice.{one['kind']}"))).to_be_visible()
        assert_no_sideways_scroll(browser_page)
        assert browser_page.evaluate("window.ran === undefined")


ORDER = encode(make_order(order_uid="faulty"))
FAULTS = {
    "wrong type": (ORDER.replace(b'"amount": 1817', b'"amount": "1817"'), '"1817"'),
    "out of range": (ORDER.replace(b'"sm_id": 99', b'"sm_id": 9223372036854775808'), "9223372036854775808"),
    "in an item": (ORDER.replace(b'"price": 453', b'"price": null'), "null"),
    "missing field": (ORDER.replace(b'"bank"', b'"bench"'), "{"),
    "not JSON": (ORDER.replace(b'"oof_shard"', "'Ж👩‍👧' ".encode()), "'"),
    "cut off": (ORDER[:200], "it ends here"),
    "NUL": (ORDER.replace(b"Berlin", b"Ber\\u0000lin"), "\\u0000"),
    "half a character": (ORDER.replace(b"Berlin", "Ж\\ud83d!".encode(), 1), "\\ud83d"),
    "low half": (ORDER.replace(b"Berlin", b"\\ude00!", 1), "\\ude00"),
    "too deep": (ORDER.replace(b'"1"}', b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"), "["),
}


def test_the_fault_is_marked(service: Service, browser_page: Page) -> None:
    """Of a text, the very place at fault is marked."""
    for fault, (payload, marked) in FAULTS.items():
        browser_page.goto(f"/#/rejects/{reject(service, payload)}")
        expect(browser_page.locator(".payload mark").first, fault).to_have_text(marked)
        if fault == "missing field":
            expect(browser_page.locator(".payload mark.missing")).to_have_text("bank is missing")


def test_bytes_in_hex(service: Service, browser_page: Page, words: Words) -> None:
    """What is no text is shown in hex with the byte at fault marked; a text is on request."""
    browser_page.goto(f"/#/rejects/{reject(service, ORDER.replace(b'Berlin', b'B' + bytes([0xFF]), 1))}")
    expect(browser_page.locator(".payload mark").first).to_have_text("ff")
    browser_page.goto(f"/#/rejects/{reject(service, b'just a text')}")
    expect(browser_page.locator(".payload")).to_contain_text("just a text")
    browser_page.get_by_role("button", name=words("payload.hex")).click()
    expect(browser_page.locator(".payload")).to_contain_text("6a 75 73 74 20 61 20 74 65 78 74")


def test_a_large_payload(service: Service, browser_page: Page, words: Words) -> None:
    """Of a message of a megabyte the beginning is shown, all of it on request, as text and in hex."""
    (large,) = rejects_of(service, kind="too_large")
    browser_page.goto(f"/#/rejects/{large['id']}")
    for as_hex in (False, True):
        if as_hex:
            browser_page.get_by_role("button", name=words("payload.hex")).click()
        shown = browser_page.locator(".payload").evaluate("block => block.textContent.length")
        assert shown < 30_000
        browser_page.get_by_role("button", name=words("payload.all")).click()
        shown = browser_page.locator(".payload").evaluate("block => block.textContent.length")
        assert shown > large["size"] // 2  # its letters take more than a byte


def test_personal_data_is_covered(service: Service, browser_page: Page, words: Words) -> None:
    """Phone, e-mail and address of a reject are covered, as text and as bytes, until they are asked for."""
    secrets = ["+10000000000", "ada@example.com", "Example street 1"]
    for payload in (ORDER[:-40], ORDER.replace(b"Berlin", b"\xff", 1)):
        browser_page.goto(f"/#/rejects/{reject(service, payload)}")
        payload_view = browser_page.locator(".payload")
        expect(payload_view).to_be_visible()
        flat = re.sub(r"[\s]|\d{8}  ", "", payload_view.text_content() or "")
        assert "••••" in flat
        assert not any(secret.replace(" ", "") in flat for secret in secrets)
        browser_page.get_by_role("button", name=words("reject.unmask")).click()
        if payload.startswith(ORDER[:100]) and b"\xff" not in payload:
            for secret in secrets:
                expect(payload_view).to_contain_text(secret)


@LOOKS
def test_a_conflict_side_by_side(service: Service, browser_page: Page, words: Words) -> None:
    """A conflict is shown beside the order that is stored, what differs marked, personal data covered."""
    order = make_order()
    uid = publish(service, order)
    changed = json.loads(json.dumps(order))
    changed["payment"]["amount"] = 1818
    changed["delivery"]["phone"] = "+19999999999"
    number = reject(service, encode(changed))
    browser_page.goto(f"/#/rejects/{number}")
    fields = browser_page.locator(".differences tbody tr")
    expect(fields).to_have_count(2)
    expect(fields.filter(has_text="$.payment.amount").locator("td")).to_have_text(["1817", "1818"])
    expect(fields.filter(has_text="$.delivery.phone")).not_to_contain_text("1999")
    sides = browser_page.locator(".sides mark")
    expect(sides.filter(has_text="amount")).to_have_text(['"amount": 1817,', '"amount": 1818,'])
    expect(browser_page.locator(".sides")).not_to_contain_text(order["delivery"]["phone"])
    browser_page.get_by_role("button", name=words("reject.unmask")).click()
    expect(sides.filter(has_text="phone").last).to_contain_text("+19999999999")
    browser_page.get_by_role("link", name=uid).first.click()
    shown_order(browser_page, uid)


def test_only_spaces_differ(service: Service, browser_page: Page, words: Words) -> None:
    """A conflict that only differs in how it is written is said to be that."""
    order = make_order()
    publish(service, order)
    browser_page.goto(f"/#/rejects/{reject(service, json.dumps(order, indent=1).encode())}")
    expect(browser_page.get_by_text(words("difference.none"))).to_be_visible()


@LOOKS
def test_a_replay(service: Service, browser_page: Page, words: Words) -> None:
    """A reject is replayed, and it is said what became of it; what is an order by now can be opened."""
    number = reject(service, b"never an order")
    browser_page.goto(f"/#/rejects/{number}")
    browser_page.get_by_role("button", name=words("reject.replay")).click()
    expect(browser_page.get_by_text(words("replay.rejected"))).to_be_visible()
    browser_page.goto("/#/rejects?kind=not_json")
    expect(browser_page.locator(f'tr[data-id="{number}"] td.outcome')).to_have_text(words("replay.rejected"))


def test_a_replay_that_stores(
    service: Service, browser_page: Page, words: Words, database_of: Database
) -> None:
    """A conflict whose rival is gone becomes an order when it is replayed, and the page leads to it."""
    order = make_order()
    uid = publish(service, order)
    number = reject(service, encode(order | {"locale": "other"}))
    database_of.execute("delete from orders where order_uid = $1", uid)
    browser_page.goto(f"/#/rejects/{number}")
    browser_page.get_by_role("button", name=words("reject.replay")).click()
    expect(browser_page.get_by_text(words("replay.stored"))).to_be_visible()
    expect(browser_page.get_by_role("link", name=words("replay.order"))).to_have_attribute(
        "href", f"#/orders/{uid}"
    )


def test_many_replays(service: Service, browser_page: Page, words: Words) -> None:
    """Several are chosen and replayed one after the other, each with its outcome."""
    numbers = [reject(service, f"never an order {n}".encode()) for n in range(3)]
    browser_page.goto("/#/rejects?kind=not_json")
    for number in numbers:
        browser_page.get_by_role("checkbox", name=words("rejects.choose", id=number)).check()
    browser_page.get_by_role("button", name=words("rejects.replay", count=3)).click()
    for number in numbers:
        expect(browser_page.locator(f'tr[data-id="{number}"] td.outcome')).to_have_text(
            words("replay.rejected")
        )
    expect(browser_page.get_by_text(words("rejects.replayed", count=3))).to_be_visible()


def test_more_rejects(service: Service, browser_page: Page, words: Words) -> None:
    """The list goes on page by page, to the first of all."""
    service.send([f"one more {number}".encode() for number in range(60)])
    total = wait_until(
        lambda: len(found) >= 60 and len(found) if (found := rejects_of(service)) else None, "they are kept"
    )
    browser_page.goto("/#/rejects")
    rows = browser_page.locator("tbody tr")
    shown = 25
    while shown < total:
        expect(rows).to_have_count(shown)
        browser_page.get_by_role("button", name=words("list.more")).click()
        shown = min(shown + 25, total)
    expect(rows).to_have_count(total)
    for width in WIDTHS:
        browser_page.set_viewport_size({"width": width, "height": 800})
        assert_no_sideways_scroll(browser_page)
