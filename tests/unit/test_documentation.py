"""Names that people rely on: statements, events of the log, metrics and settings, all used and documented."""

import re
from pathlib import Path

import pytest

import orderkeep
from orderkeep.observe.events import EVENTS
from orderkeep.observe.metrics import METRICS
from orderkeep.settings import Settings, variable
from orderkeep.storage.queries import QUERIES, load

PACKAGE = Path(orderkeep.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
SOURCE = "\n".join(file.read_text() for file in PACKAGE.rglob("*.py"))


def document(name: str) -> str:
    return (DOCS / name).read_text()


def test_statements() -> None:
    """Every named statement is used, and every name that is used is there."""
    users = [file for file in PACKAGE.rglob("*.py") if "storage.queries import QUERIES" in file.read_text()]
    used = {name for file in users for name in re.findall(r'QUERIES\["(\w+)"\]', file.read_text())}
    assert used == QUERIES.keys()


def test_statements_are_read_by_name() -> None:
    """A file of statements is cut at the names; comments and the last semicolon are left out."""
    text = "-- A file.\n\n-- name: one\n-- Why.\nselect 1;\n\n-- name: two\nselect\n    2\n;\n"
    assert load(text) == {"one": "select 1", "two": "select\n    2\n"}


def test_every_statement_is_one() -> None:
    """A statement with parameters holds no second one, which a prepared statement could not."""
    assert [name for name, text in QUERIES.items() if (";" in text and "$" in text) or not text] == []


def test_events() -> None:
    """Every event that is logged has its meaning in the list, and the list holds no other."""
    logged = set(re.findall(r"\blog\.(?:debug|info|warning|error|exception)\(\s*\"(\w+)\"", SOURCE))
    assert logged == EVENTS.keys()
    assert len(re.findall(r"\blog\.(?:debug|info|warning|error|exception)\(\s*[^\"\s]", SOURCE)) == 0


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_documented(name: str) -> None:
    """The page of operations lists every event of the log."""
    assert f"`{name}`" in document("operations.md")


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_documented(name: str) -> None:
    """The page of observability lists every metric."""
    assert f"`{name}`" in document("observability.md")


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_used(name: str) -> None:
    """Every metric is set somewhere."""
    assert len(re.findall(f'"{name}"', SOURCE)) > sum(
        text.count(f'"{name}"') for text in [(PACKAGE / "observe" / "metrics.py").read_text()]
    )


@pytest.mark.parametrize("name", Settings.model_fields)
def test_settings_are_documented(name: str) -> None:
    """The page of settings and the example of a `.env` file list every setting."""
    assert variable(name) in document("settings.md")
    assert variable(name) in (DOCS.parent / ".env.example").read_text()
