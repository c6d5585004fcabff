"""Secrets that are mounted as files: which one wins, what is refused, and that nobody hears of them."""

import json
import os
from pathlib import Path

import pytest

from orderkeep.errors import ConfigurationError
from orderkeep.secret_files import SUFFIX
from orderkeep.settings import SECRETS, environment, variable
from orderkeep.settings_load import load
from orderkeep.settings_masked import masked
from orderkeep.settings_pages import show

URL = "postgresql://user:s3cret@host/database"
FILE = "ORDERKEEP_DATABASE_URL_FILE"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an environment without settings."""
    for name in os.environ:
        if name.upper().startswith("ORDERKEEP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the database's URL, named in the environment."""
    file = folder / "database-url"
    file.write_text(f"{URL}\n")
    monkeypatch.setenv(FILE, str(file))
    return file


def refusal() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_which_settings() -> None:
    """Whatever may hold a password can be in a file."""
    assert set(SECRETS) == {
        *("database_url", "database_migrate_url", "database_read_url"),
        *("kafka_options", "nats_url", "redis_url"),
    }


def test_read(secret: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file holds is the value, without the end of its line; an object is JSON."""
    assert load().database_url == URL
    (folder / "options").write_text('{\n  "sasl.password": "s3cret"\n}\n')
    monkeypatch.setenv("orderkeep_kafka_options_file", "options")
    assert load().kafka_options == {"sasl.password": "s3cret"}
    assert secret.exists()


def test_precedence(secret: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file counts as much as a value in its place: more than `.env`, less than a flag."""
    (folder / ".env").write_text("ORDERKEEP_DATABASE_URL=postgresql://weaker/d\n")
    assert load().database_url == URL
    assert load({"database_url": "postgresql://flag/d"}).database_url == "postgresql://flag/d"
    monkeypatch.delenv(FILE)
    (folder / ".env").write_text(f"{FILE}={secret}\n")
    assert load().database_url == URL
    monkeypatch.setenv("ORDERKEEP_DATABASE_URL", "postgresql://stronger/d")
    assert load().database_url == "postgresql://stronger/d"


@pytest.mark.usefixtures("secret")
def test_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value and a file in one place are a mistake, whichever was meant."""
    monkeypatch.setenv("ORDERKEEP_DATABASE_URL", URL)
    assert refusal() == (
        "both ORDERKEEP_DATABASE_URL and ORDERKEEP_DATABASE_URL_FILE are given: leave one of them out"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\n", "is empty"),
        (b"s3cret\xff", "is no text in UTF-8"),
        (b"mysql://user:s3cret@host", "ORDERKEEP_DATABASE_URL: a URL like"),
    ],
    ids=["missing", "empty", "bytes", "wrong"],
)
def test_refused(secret: Path, content: bytes | None, says: str) -> None:
    """A file that cannot be used is refused in one line, without what it holds."""
    secret.unlink()
    if content is not None:
        secret.write_bytes(content)
    assert says in refusal()


@pytest.mark.usefixtures("secret")
def test_masked() -> None:
    """What came from a file is masked like everything else."""
    settings = load()
    assert "s3cret" not in json.dumps(masked(settings))
    assert not any("s3cret" in show(settings, form) for form in ("table", "json", "env", "markdown"))


def test_child(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process reads the file itself: the secret is not in its environment, and may be renewed."""
    variables = environment(load())
    assert variables[FILE] == str(secret)
    assert "s3cret" not in json.dumps(variables)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    secret.write_text("postgresql://renewed/d")
    assert load().database_url == "postgresql://renewed/d"


@pytest.mark.usefixtures("secret")
def test_child_of_another_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was changed since it was read is handed down as a value, and the file no more."""
    changed = load().model_copy(update={"database_url": "postgresql://changed/d"})
    for name, value in environment(changed).items():
        monkeypatch.setenv(name, value)
    assert load().database_url == "postgresql://changed/d"


@pytest.mark.parametrize("name", SECRETS)
def test_documented(name: str) -> None:
    """The pages of the settings name each of the files."""
    for form in ("env", "markdown"):
        assert variable(name) + SUFFIX in show(load(), form)
