"""Parts of the page alone, in the browser that runs them: what is hard to see from outside."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.service import Service


@pytest.fixture(scope="module")
def page(chromium: Browser, service: Service) -> Iterator[Page]:
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(service.url)
        yield page


def run(page: Page, module: str, code: str, *given: Any) -> Any:
    """What `code` returns; in it `m` is the module, and `given` what is given."""
    return page.evaluate(
        f"async ([path, given]) => {{ const m = await import(path); {code} }}", [f"/static/{module}", given]
    )


def test_events_cut_anywhere(page: Page) -> None:
    """A stream of events is read the same however it is cut into pieces."""
    stream = (
        'retry: 1000\nid: 1.now\n\n:\n\nid: 2.a\nevent: stored\ndata: {"order_uid":"ж"}\n\n'
        'event: skipped\r\ndata: {"count":\r\ndata: 3}\r\n\r\nevent: bye\ndata: {"reason":"x"}\n\nid: cut'
    )
    dice = random.Random(7)
    for _ in range(50):
        cuts = sorted(dice.sample(range(len(stream)), dice.randrange(8)))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        events = run(
            page,
            "service/events.js",
            "const p = new m.Parser(); return given[0].flatMap((x) => [...p.read(x)]);",
            pieces,
        )
        assert [(one["id"], one["kind"], one.get("data")) for one in events] == [
            ("1.now", "message", None),
            (None, "message", None),
            ("2.a", "stored", {"order_uid": "ж"}),
            (None, "skipped", {"count": 3}),
            (None, "bye", {"reason": "x"}),
        ]


def test_lines_side_by_side(page: Page) -> None:
    """Of any two texts each line is there once, in its order; what is the same is paired."""
    dice = random.Random(7)
    texts = [[[dice.choice("abc") for _ in range(dice.randrange(12))] for _ in "ab"] for _ in range(200)]
    found = run(page, "json/difference.js", "return given[0].map(([a, b]) => m.sideBySide(a, b));", texts)
    for (left, right), rows in zip(texts, found, strict=True):
        assert [row["left"] for row in rows if row["left"] is not None] == left
        assert [row["right"] for row in rows if row["right"] is not None] == right
        assert all((row["kind"] == "same") == (row["left"] == row["right"]) for row in rows)


def test_a_document_in_lines(page: Page) -> None:
    """A document that is laid out means the same, and numbers and strings are left as they are written."""
    text = '{"a": [1, {"b\\"c": 1e999}, [], {}], "é\\u00e9": -0.50, "d": {"e": [[2]]}}'
    lines = run(page, "json/text.js", "return m.layOut(given[0]);", text)
    assert "".join(line.strip() for line in lines).replace('": ', '":') == text.replace(", ", ",").replace(
        ": ", ":"
    )
    assert lines[2] == "    1,"
    for broken in ("", "{,}", '{"a":1', "[1,]", "[1] 2", '"', "[" * 100_000):
        assert run(page, "json/text.js", "return m.layOut(given[0]);", broken) is None


PERSONAL = [
    ('{"phone": "+49 30 1234567", "x": 1}', ["+49 30 1234567"]),
    ("{'email': 'a@b.example'}", ["a@b.example"]),
    ('{"address":"say \\"hi\\", street 1"}', ['say \\"hi\\", street 1']),
    ('{"address": "cut off', ["cut off"]),
    ('{"address": "O\'Neill street 1"}', ["O'Neill street 1"]),
    ("{'address': 'the \"old\" mill'}", ['the "old" mill']),
    ("<a@b.example>,c@d.example;@e @", ["a@b.example", "c@d.example"]),
    ("ask ada@example.com or +49 (30) 123-45-67", ["ada@example.com", "+49 (30) 123-45-67"]),
    ("1,000,805 bytes; the limit is 1,000,000", []),
    ('{"amount": 1234567890123, "order_uid": "b563feb7b2b84b6test"}', []),
]


@pytest.mark.parametrize(("text", "covered"), PERSONAL)
def test_personal_data(page: Page, text: str, covered: list[str]) -> None:
    """Phone numbers, e-mail and other addresses are covered wherever they stand, and nothing else."""
    masked = run(page, "base/mask.js", "return m.maskedText(given[0]);", text)
    expected = text
    for one in covered:
        expected = expected.replace(one, "•" * len(one))
    assert masked == expected


@pytest.mark.parametrize("letter", ["x", "@", "+1", '"address":"', "\\\\", " "])
def test_long_texts_are_covered_in_time(page: Page, letter: str) -> None:
    """A megabyte of anything is looked through in time that grows with it, and keeps its length."""
    length = run(
        page,
        "base/mask.js",
        "return m.maskedText(given[0].repeat(given[1])).length;",
        letter,
        10**6 // len(letter),
    )
    assert length == 10**6 // len(letter) * len(letter)


SUMS: list[tuple[dict[str, int], list[dict[str, int]], Any]] = [
    ({"amount": 5, "goods_total": 3, "delivery_cost": 1, "custom_fee": 1}, [{"total_price": 3}], []),
    ({"amount": 6, "goods_total": 3, "delivery_cost": 1, "custom_fee": 1}, [{"total_price": 3}], ["amount"]),
    ({"goods_total": 3}, [{"total_price": 2}, {"total_price": 2}], ["goods"]),
    ({"goods_total": 2**63 - 1}, [{"total_price": 2**63 - 2}, {"total_price": 1}], []),
    (
        {},
        [{"price": 453, "sale": 30, "total_price": 317}, {"price": 453, "sale": 30, "total_price": 318}],
        [],
    ),
    ({}, [{"price": 453, "sale": 30, "total_price": 316}], ["item"]),
    ({}, [{"price": 1, "sale": -5, "total_price": 9}], None),
    ({}, [], None),
]


@pytest.mark.parametrize(("payment", "items", "expected"), SUMS)
def test_sums(page: Page, payment: dict[str, int], items: list[dict[str, int]], expected: Any) -> None:
    """Sums are checked as far as their numbers are there, exactly, with either way of rounding a sale."""
    rules = run(
        page,
        "orders/sums.js",
        """const { parseExactly } = await import("/static/json/exact.js");
        const found = m.differences(...given.map(parseExactly));
        return found && found.map(({ rule }) => rule);""",
        json.dumps(payment),
        json.dumps(items),
    )
    assert rules == expected
