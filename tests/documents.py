"""The documents of the project as the tests read them: blocks of code, commands, tables, headings."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A block of code; `section` is the heading above it."""

    section: str
    language: str
    text: str


def read(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(name: str) -> list[Block]:
    """The blocks of code of a document, in order."""
    text = read(name)
    return [Block(_heading_above(text, found.start()), found[1], found[2]) for found in _FENCE.finditer(text)]


def commands(block: Block) -> list[str]:
    """The commands of a block: one a line."""
    return [line for line in block.text.splitlines() if line]


def statements(block: Block) -> list[str]:
    """The statements of a block of SQL."""
    return [part.strip() for part in block.text.split(";") if part.strip()]


def headings(name: str) -> list[tuple[int, str]]:
    """Level and text of each heading."""
    return [(len(found[1]), found[2]) for found in _HEADING.finditer(without_blocks(name))]


def anchors(name: str) -> set[str]:
    """What a link may lead to inside the document, as code hosts derive it from the headings."""
    plain = (re.sub(r"[^\w\s-]", "", text.lower()) for _, text in headings(name))
    return {re.sub(r"\s", "-", text) for text in plain}


def without_blocks(name: str) -> str:
    return _FENCE.sub("", read(name))


def rows(name: str, section: str) -> list[list[str]]:
    """The cells of the tables below a heading, without their headlines, whatever its level."""
    text = without_blocks(name)
    _, _, below = text.partition(f"# {section}\n")
    assert below, f"{name} has no section {section}"
    lines = _HEADING.split(below)[0].splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    rules = [number for number, cells in enumerate(table) if set("".join(cells).strip()) <= {"-"}]
    heads = {number + offset for number in rules for offset in (-1, 0)}
    return [[cell.strip() for cell in cells] for number, cells in enumerate(table) if number not in heads]


def name_in(cell: str) -> str:
    """The one name in backquotes that a cell begins with."""
    found = re.match(r"`([^`]+)`", cell)
    assert found, f"no name in {cell!r}"
    return found[1]


def _heading_above(text: str, position: int) -> str:
    above = [found[2] for found in _HEADING.finditer(_FENCE.sub(_blank, text), 0, position)]
    return above[-1] if above else ""


def _blank(block: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", block[0])
