"""The page of troubleshooting quotes what the program prints."""

import ast
import re
from functools import cache

import pytest

from tests.documents import ROOT, read, rows

PAGE = "docs/troubleshooting.md"
SECTIONS = [
    "While it is installed",
    "The demo does not start",
    "A setting is refused",
    "PostgreSQL",
    "Kafka",
    "NATS JetStream and NATS Streaming",
    "HTTP answers otherwise than expected",
    "It runs, and stops or starts again",
]
MESSAGES = [
    (found[2], section)
    for section in SECTIONS
    for cells in rows(PAGE, section)
    if (found := re.fullmatch(r"(`+) ?(.+?) ?\1", cells[0]))
]


@cache
def templates() -> set[str]:
    """Every text of the program, with `…` for what is put in, and the Makefile."""
    trees = [ast.parse(file.read_text()) for file in (ROOT / "src").rglob("*.py")]
    return {_text(node) for tree in trees for node in ast.walk(tree)} | {read("Makefile")}


def _text(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or "…" for part in parts)
    return ""


@pytest.mark.parametrize(("message", "section"), MESSAGES)
def test_messages(message: str, section: str) -> None:
    """Every message of the page is one that the program prints, `…` standing for what differs."""
    parts = message.strip("…").split("…")
    pattern = re.compile(".{1,80}?".join(re.escape(part) for part in parts))
    assert any(pattern.search(text) for text in templates()), f"nothing prints this any more, in {section}"


def test_sections() -> None:
    """No table of the page is left out here, and each has messages."""
    assert {section for _, section in MESSAGES} == set(SECTIONS)
    tables = re.findall(r"^## ([^\n]+)\n\n\| you see", read(PAGE), re.MULTILINE)
    assert tables == SECTIONS
