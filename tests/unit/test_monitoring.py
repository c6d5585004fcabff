"""The dashboard and the alerts are made of metrics that there are, and every alert says what to do."""

import json
import re
import runpy
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from orderkeep.observe.metrics import METRICS, PROCESS_METRICS
from tests.documents import ROOT, anchors, headings, read

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
RULES = ROOT / "deploy" / "prometheus"
RUNBOOK = "docs/runbook.md"
PARTS = {"Histogram": ("_bucket", "_sum", "_count")}
OWN = {f"{name}{part}" for name, metric in METRICS.items() for part in PARTS.get(metric.kind.__name__, ("",))}
LABELS = {label for metric in METRICS.values() for label in metric.labels}
EVERY_SERIES = {"job", "instance", "worker", "le"}  # of Prometheus, of several API processes, of histograms


@cache
def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@cache
def expressions() -> dict[str, str]:
    """By where it is, every expression of the dashboard and the alerts."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels
        for target in panel.get("targets", [])
    }
    return shown | {rule["alert"]: rule["expr"] for rule in alerts()}


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:orderkeep|process)_\w+|\bup\b", re.sub(r'"[^"]*"', '""', expression)))


def labels_in(expression: str) -> set[str]:
    grouped = re.findall(r"\b(?:by|without) \(([^)]*)\)", expression)
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    return {label.strip() for group in grouped for label in group.split(",")} | set(matched)


@pytest.mark.parametrize("place", expressions())
def test_expressions(place: str) -> None:
    """Every expression is of metrics that there are, by labels that they have."""
    expression = expressions()[place]
    named = metrics_in(expression)
    assert named
    assert named <= OWN | {*PROCESS_METRICS, "up"}
    assert labels_in(expression) <= LABELS | EVERY_SERIES


def test_every_metric_is_shown() -> None:
    """The dashboard leaves out none of our metrics."""
    shown = {name for expression in expressions().values() for name in metrics_in(expression)}
    assert [name for name in METRICS if not {name, f"{name}_bucket"} & shown] == []


def test_dashboard_is_up_to_date() -> None:
    """The dashboard is what its module makes."""
    made = runpy.run_path(str(DASHBOARD.with_name("make_dashboard.py")))["text"]()
    assert DASHBOARD.read_text() == made, "run: python deploy/grafana/make_dashboard.py"


def test_alerts_lead_to_the_runbook() -> None:
    """Every alert has a section of the runbook, and every section of symptoms has an alert."""
    links = [rule["annotations"]["runbook_url"] for rule in alerts()]
    assert {link.partition("#")[0] for link in links} == {RUNBOOK}
    assert {link.partition("#")[2] for link in links} <= anchors(RUNBOOK)
    for rule, link in zip(alerts(), links, strict=True):
        section = next(
            part
            for part in read(RUNBOOK).split("\n## ")
            if _anchor(part.splitlines()[0]) == link.split("#")[1]
        )
        assert f"`{rule['alert']}`" in section
        for word in ("**Means.**", "**Look.**", "**Do.**"):
            assert word in section
    assert len(set(links)) == len(alerts()) <= len(headings(RUNBOOK))


def test_alerts_say_how_bad_it_is() -> None:
    """Every alert has a severity, and is tried by an example for which it fires."""
    assert {rule["labels"]["severity"] for rule in alerts()} == {"page", "ticket"}
    tests = yaml.safe_load((RULES / "alerts_test.yml").read_text())["tests"]
    fire = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fire == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool(arguments: tuple[str, ...]) -> None:
    """Prometheus' own tool takes the configuration and the rules, and each fires when it should."""
    promtool = shutil.which("promtool") or shutil.which(ROOT / ".orderkeep/tools/usr/bin/promtool")
    if promtool is None:
        pytest.skip("there is no promtool: install Debian's package prometheus to have it")
    ran = subprocess.run([promtool, *arguments], cwd=RULES, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _anchor(heading: str) -> str:
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.lower()))
