"""The documents agree with the code and with each other, and nothing in them leads nowhere."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import orderkeep.cli
from orderkeep.errors import RejectKind
from orderkeep.observe.events import EVENTS
from orderkeep.observe.metrics import METRICS
from orderkeep.secret_files import SUFFIX
from orderkeep.settings import SECRETS, Settings, variable
from tests.contract.implementations import Kind
from tests.documents import (
    DOCUMENTS,
    ROOT,
    anchors,
    blocks,
    headings,
    name_in,
    read,
    rows,
    without_blocks,
)

NAMES = [str(file.relative_to(ROOT)) for file in DOCUMENTS]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What only the tests read, and what a message of an error is cut to.
OTHER_VARIABLES = {
    *("ORDERKEEP_TEST_REQUIRE", "ORDERKEEP_TEST_FUZZ", "ORDERKEEP_"),
    *(f"ORDERKEEP_TEST_{kind}" for kind in get_args(Kind)),
}


def requirement(line: str) -> str:
    return re.split(r"[<>=~!\[ ]", line)[0]


def test_events() -> None:
    """The table of events has every event of the log, and no other."""
    listed = [name_in(cells[0]) for cells in rows("docs/operations.md", "Log events")]
    assert listed == list(EVENTS)


def test_metrics() -> None:
    """The table of metrics has every metric with its process, kind and labels, and no other."""
    listed = {
        name_in(name): (role, kind, tuple(re.findall(r"`(\w+)`", labels)))
        for name, role, kind, labels, _ in rows("docs/observability.md", "Metrics")
    }
    assert listed == {
        name: (metric.role, metric.kind.__name__.lower(), metric.labels) for name, metric in METRICS.items()
    }


def test_exit_codes() -> None:
    """The table of exit codes has every one that a command can end with."""
    listed = {int(cells[0]) for cells in rows("docs/operations.md", "Exit codes")}
    constants = {value for name, value in vars(orderkeep.cli).items() if name.startswith("EXIT_")}
    assert listed == constants | {0}


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_are_named(name: str) -> None:
    """Every variable that a document names is a setting, or names the file of one."""
    named = set(re.findall(r"ORDERKEEP_[A-Z_]*", read(name)))
    files = {variable(field) + SUFFIX for field in SECRETS}
    assert named - OTHER_VARIABLES <= {variable(field) for field in Settings.model_fields} | files


def test_reject_kinds() -> None:
    """The table of kinds has every kind of reject, and no other."""
    listed = [name_in(cells[0]) for cells in rows("docs/rejects.md", "Kinds")]
    assert sorted(listed) == sorted(get_args(RejectKind))


@pytest.mark.parametrize(
    ("section", "declared"),
    [
        ("The program", PROJECT["project"]["dependencies"]),
        ("The extra `embedded`", PROJECT["project"]["optional-dependencies"]["embedded"]),
        ("The extra `kafka`", PROJECT["project"]["optional-dependencies"]["kafka"]),
        ("The extra `nats`", PROJECT["project"]["optional-dependencies"]["nats"]),
        ("The extra `redis`", PROJECT["project"]["optional-dependencies"]["redis"]),
        ("The extra `otel`", PROJECT["project"]["optional-dependencies"]["otel"]),
        ("Building", PROJECT["dependency-groups"]["build"]),
        ("Development", PROJECT["dependency-groups"]["dev"]),
        ("The site", PROJECT["dependency-groups"]["site"]),
        ("Security", PROJECT["dependency-groups"]["security"]),
    ],
)
def test_dependencies(section: str, declared: list[str]) -> None:
    """Every direct dependency has its reason, and no reason is left of one that has gone."""
    listed = [name_in(cells[0]) for cells in rows("docs/dependencies.md", section)]
    assert listed == [requirement(line) for line in declared if not line.startswith("orderkeep[")]


@pytest.mark.parametrize(("name", "section"), [("README.md", "Commands"), ("README.ru.md", "Команды")])
def test_commands(name: str, section: str) -> None:
    """The table of commands has every command of the program, and no other."""
    listed = {name_in(cells[0]).removeprefix("orderkeep ") for cells in rows(name, section)}
    assert listed == {command for command in orderkeep.cli.app if not command.startswith("-")}


@pytest.mark.parametrize("name", NAMES)
def test_make_targets(name: str) -> None:
    """Every target of make that a document names is there."""
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    code = [*re.findall(r"`([^`\n]+)`", without_blocks(name)), *(block.text for block in blocks(name))]
    named = {target for text in code for target in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)}
    assert named <= targets


@pytest.mark.parametrize("name", NAMES)
def test_links(name: str) -> None:
    """Every link leads to a file of the project, and to a heading that it has."""
    here = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(name)):
        path, _, anchor = target.partition("#")
        file = (here / path).resolve() if path else ROOT / name
        assert file.exists(), target
        assert not anchor or anchor in anchors(str(file.relative_to(ROOT))), target


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named(name: str) -> None:
    """Every file of the project that a document names by its path is there."""
    places = [ROOT, ROOT / "src" / "orderkeep", ROOT / "tests"]
    named = re.findall(r"`([\w.-]+/[\w./-]+\.(?:py|sql|md|txt|json|toml))`", without_blocks(name))
    missing = [path for path in named if not any((place / path).exists() for place in places)]
    assert missing == []


@pytest.mark.parametrize("name", [*NAMES, ".env.example"])
def test_nothing_of_one_machine(name: str) -> None:
    """No document has a path of somebody's machine, or an address outside the reader's own."""
    text = read(name)
    assert re.findall(r"(?<![\w.])/(?:work|root|home|Users|tmp)/\S*", text) == []
    hosts = re.findall(r"https?://([^/\s:`)\"]+)", text)
    assert set(hosts) <= {"127.0.0.1", "localhost"}


def test_both_readmes() -> None:
    """The README in Russian shows the same blocks under the same headings, and links to the same pages."""

    def shape(name: str) -> tuple[object, ...]:
        links = re.findall(r"\]\(([^)]+)\)", read(name))
        return (
            [level for level, _ in headings(name)],
            [(block.language, block.text) for block in blocks(name)],
            [link for link in links if not link.startswith("README")],
        )

    assert shape("README.md") == shape("README.ru.md")
    assert "(README.ru.md)" in read("README.md")
    assert "(README.md)" in read("README.ru.md")


def test_readme_is_short() -> None:
    """The README can be read in one go."""
    assert len(Path(ROOT / "README.md").read_text().splitlines()) <= 200
