"""The package as it is built: all that the program reads is in it, and what it says of itself is true."""

import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser

import pytest
from packaging.specifiers import SpecifierSet

from tests.documents import ROOT, read

SOURCES = ROOT / "src"
CLIENTS = {"confluent-kafka", "nats-py", "valkey"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_files(wheel: zipfile.ZipFile) -> None:
    """The wheel holds every file of the package, statements, page and lists included, and no other."""
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = [file for file in SOURCES.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert packed == {file.relative_to(SOURCES).as_posix() for file in there}


def test_licences(wheel: zipfile.ZipFile) -> None:
    """The wheel holds the licences of everything in it."""
    packed = {name.partition("/licenses/")[2] for name in wheel.namelist() if "/licenses/" in name}
    others = {file.relative_to(ROOT).as_posix() for file in SOURCES.rglob("LICENSE")}
    assert packed >= others | {"LICENSE"}


def test_extras(metadata: Message) -> None:
    """The clients of brokers and caches are extras; `embedded` brings them all, since the demo needs them."""
    assert {"embedded", "kafka", "nats", "redis"} <= set(metadata.get_all("Provides-Extra", []))
    required = [line.partition(";") for line in metadata.get_all("Requires-Dist", [])]
    base = {re.split(r"[^\w-]", name)[0] for name, _, extra in required if not extra}
    assert base & CLIENTS == set()
    embedded = {re.split(r"[^\w-]", name)[0] for name, _, extra in required if "embedded" in extra}
    assert embedded >= CLIENTS


def test_versions_of_python(metadata: Message) -> None:
    """The classifiers name the versions of Python that the package may be installed on."""
    bounds = SpecifierSet(metadata["Requires-Python"])
    prefix = "Programming Language :: Python :: "
    named = {line.removeprefix(prefix) for line in metadata.get_all("Classifier", []) if prefix in line}
    assert named - {"3 :: Only"} == {f"3.{minor}" for minor in range(100) if f"3.{minor}" in bounds}


def test_no_address_that_does_not_exist(metadata: Message) -> None:
    """The package names no site: there is none."""
    assert metadata.get_all("Project-URL") is None
    assert metadata["Home-page"] is None


def test_everything_is_installed() -> None:
    """`make install` installs every extra, so that every command works from the working tree."""
    assert "--all-extras" in read("Makefile")
