"""The files of the page: few bytes, two whole languages, one subject each, and no way for markup."""

import gzip
import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import fields

import orderkeep.api
from orderkeep.errors import RejectKind
from orderkeep.ingest.replay import Replay
from orderkeep.order import Delivery, Item, Order, Payment
from orderkeep.storage.rejects import ReplayOutcome
from orderkeep.storage.store import Outcome

STATIC = Path(orderkeep.api.__path__[0]) / "static"
VENDORED = STATIC / "vendor"
FILES = [file for file in sorted(STATIC.rglob("*")) if file.is_file()]
OURS = [file for file in FILES if VENDORED not in file.parents]
MODULES = [file for file in OURS if file.suffix == ".js"]
INDEX = (STATIC / "index.html").read_text()
SCRIPT = "\n".join(file.read_text() for file in MODULES if file.parent.name != "texts")
LARGEST = 150_000


def name(file: Path) -> str:
    return str(file.relative_to(STATIC))


def texts(language: str) -> dict[str, str]:
    """The texts of a language, as they are written; those with plurals with their braces."""
    found = re.findall(
        r'^  "([\w.-]+)": (.*),$', (STATIC / "texts" / f"{language}.js").read_text(), re.MULTILINE
    )
    assert len(found) == len(dict(found)), "a key is there twice"
    return dict(found)


def test_size() -> None:
    """All that the page loads is less than 150 kB, compressed as the API sends it."""
    sent = [file for file in FILES if file.suffix in {".html", ".css", ".js", ".svg"}]
    assert sum(len(gzip.compress(file.read_bytes(), 9, mtime=0)) for file in sent) < LARGEST


@pytest.mark.parametrize("file", MODULES, ids=name)
def test_no_way_for_markup(file: Path) -> None:
    """No module has a way by which data could become markup or a script."""
    sinks = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|javascript:"
    )
    assert re.findall(sinks, file.read_text()) == []


@pytest.mark.parametrize("file", OURS, ids=name)
def test_no_other_address(file: Path) -> None:
    """No file names an address outside the service."""
    found = re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}[^\s\"']*", file.read_text())
    assert [address for address in found if "www.w3.org/2000/svg" not in address] == []


@pytest.mark.parametrize("file", [file for file in MODULES if file.parent.name != "texts"], ids=name)
def test_modules_are_small(file: Path) -> None:
    """A module has one subject, said in its first line, and at most 350 lines."""
    lines = file.read_text().splitlines()
    assert len(lines) <= 350
    assert lines[0].startswith(("/** ", "/**", "// "))


def test_nothing_inline() -> None:
    """The page's policy forbids scripts, styles and handlers in the markup, and there are none."""
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", INDEX) == []


def test_modules_are_fetched_at_once() -> None:
    """Every module is named in the head of the page, so that none waits for another to be read."""
    named = re.findall(r'(?:modulepreload" href|script[^>]* src)="/static/([^"]+)"', INDEX)
    assert sorted(named) == sorted(name(file) for file in FILES if file.suffix == ".js")
    styles = re.findall(r'stylesheet" href="/static/([^"]+)"', INDEX)
    assert sorted(styles) == sorted(name(file) for file in FILES if file.suffix == ".css")


def test_licences() -> None:
    """What others wrote stands beside its licence."""
    assert all((folder / "LICENSE").exists() for folder in VENDORED.iterdir())


def test_both_languages() -> None:
    """Both languages have the same texts, with the same values in them."""
    english, russian = texts("en"), texts("ru")
    assert english.keys() == russian.keys()
    for key in english:
        values = [set(re.findall(r"\{(\w+)\}", language[key])) for language in (english, russian)]
        assert values[0] == values[1], key


def test_plurals() -> None:
    """A text with plurals has every category that CLDR has for its language."""
    for language, categories in (("en", {"one", "other"}), ("ru", {"one", "few", "many", "other"})):
        for key, text in texts(language).items():
            if text.startswith("{"):
                assert set(re.findall(r"(\w+): \"", text)) == categories, key


def test_texts_are_used() -> None:
    """Every text is used, and every text that is used is there."""
    given = texts("en").keys()
    exact = set(re.findall(r"\b(?:t|rich)\((?:[^()\"]*\? )?\"(\w+\.[\w.-]+)\"", SCRIPT))
    exact |= set(re.findall(r"data-t(?:-\w+)?=\"([\w.-]+)\"", INDEX))
    families = set(re.findall(r"\bt\(`(\w+\.)\$\{", SCRIPT))
    quoted = set(re.findall(r"\"(\w[\w.-]*\.[\w-]+)\"", SCRIPT)) & given
    assert exact <= given
    unused = {key for key in given - exact - quoted if not key.startswith(tuple(families)) and "." in key}
    assert unused == set()


@pytest.mark.parametrize(
    ("family", "members"),
    [
        ("kind", get_args(RejectKind)),
        ("means", get_args(RejectKind)),
        ("advice", get_args(RejectKind)),
        ("replay", get_args(ReplayOutcome)),
        ("outcome", get_args(Outcome)),
    ],
)
def test_families(family: str, members: tuple[str, ...]) -> None:
    """The page has words for everything that the API may say."""
    assert {f"{family}.{member}" for member in members} <= texts("en").keys()


def test_kinds_of_the_filter() -> None:
    """The filter of rejects has every kind."""
    listed = re.search(r"KINDS = \[(.*?)\]", (STATIC / "rejects" / "list.js").read_text(), re.DOTALL)
    assert listed
    assert sorted(re.findall(r'"(\w+)"', listed[1])) == sorted(get_args(RejectKind))


def test_fields_of_an_order() -> None:
    """The page knows every field of the model, and has a word for it; what it does not know is "other"."""
    text = (STATIC / "orders" / "fields.js").read_text()
    for part, model in (("order", Order), ("delivery", Delivery), ("payment", Payment), ("item", Item)):
        listed = re.search(rf"  {part}: \[(.*?)\]", text, re.DOTALL)
        assert listed
        names = re.findall(r'"(\w+)"', listed[1])
        assert sorted(names) == sorted(field.name for field in fields(model))
        in_items = {"chrt_id", "rid", "nm_id"}  # shown by their own names
        assert {f"field.{field}" for field in names if field not in in_items} <= texts("en").keys()


def test_replay_has_its_fields() -> None:
    """What the page reads of a replay is what the API answers."""
    assert {"outcome", "detail"} <= {field.name for field in fields(Replay)}
