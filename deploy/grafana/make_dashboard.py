"""Write the dashboard: `python deploy/grafana/make_dashboard.py` makes dashboard.json beside it.

A panel is a line here and fifty in Grafana's JSON. Every expression is about metrics of
`orderkeep.observe.metrics`, which a test checks; the data source is the one with the uid `prometheus`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARD = Path(__file__).with_name("dashboard.json")
WIDTH, HEIGHT, COLUMNS = 8, 7, 24  # of Grafana's grid
RATE = "[$__rate_interval]"


class Panel(NamedTuple):
    """A graph of some expressions, each with the legend of its lines. `unit` is one of Grafana's."""

    title: str
    unit: str
    lines: Sequence[tuple[str, str]]
    text: str = ""


def quantiles(histogram: str, by: str = "") -> list[tuple[str, str]]:
    """The median and the 99th percentile of a histogram."""
    labels, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    rate = f"sum by ({labels}) (rate({histogram}_bucket{RATE}))"
    return [(f"histogram_quantile({q}, {rate})", f"p{q * 100:g}{legend}") for q in (0.5, 0.99)]


def rate(counter: str, by: str) -> list[tuple[str, str]]:
    return [
        (f"sum by ({by}) (rate({counter}{RATE}))", " ".join(f"{{{{{each}}}}}" for each in by.split(", ")))
    ]


ROWS: dict[str, list[Panel]] = {
    "Ingest": [
        Panel(
            "Consumed and committed",
            "ops",
            [
                (f"sum(rate(orderkeep_consumed_messages_total{RATE}))", "consumed"),
                *rate("orderkeep_outcomes_total", "outcome"),
            ],
        ),
        Panel(
            "Lag",
            "short",
            [("max by (partition) (orderkeep_lag_messages)", "partition {{partition}}")],
            "Messages that wait in the broker, by partition.",
        ),
        Panel("From the broker to the commit", "s", quantiles("orderkeep_commit_delay_seconds")),
        Panel("Writing a batch", "s", quantiles("orderkeep_batch_write_seconds")),
        Panel("Messages in a batch", "short", quantiles("orderkeep_batch_messages")),
        Panel(
            "Waiting for an acknowledgement",
            "s",
            [("max by (instance) (orderkeep_watermark_age_seconds)", "{{instance}}")],
            "The age of the oldest batch that is not acknowledged.",
        ),
        Panel(
            "Batches in flight",
            "short",
            [("sum by (instance) (orderkeep_batches_in_flight)", "{{instance}}")],
        ),
        Panel("Rejects by kind", "ops", rate("orderkeep_rejected_messages_total", "kind")),
        Panel(
            "Retries, and what is away",
            "short",
            [
                *rate("orderkeep_retries_total", "error"),
                ("max(orderkeep_write_failing)", "writes fail"),
                ("1 - min(orderkeep_broker_up)", "broker away"),
            ],
        ),
    ],
    "API": [
        Panel("Requests", "reqps", rate("orderkeep_http_requests_total", "route, status")),
        Panel(
            "Share of requests that fail",
            "percentunit",
            [
                (
                    f'sum(rate(orderkeep_http_requests_total{{status=~"5.."}}{RATE}))'
                    f" / sum(rate(orderkeep_http_requests_total{RATE}))",
                    "5xx",
                )
            ],
        ),
        Panel(
            "Time to answer",
            "s",
            quantiles("orderkeep_http_answer_seconds", "route"),
            "Without the fast lane, which is not timed.",
        ),
        Panel("Orders read, by where they were", "reqps", rate("orderkeep_reads_total", "source")),
        Panel("From the commit to the cache", "s", quantiles("orderkeep_visible_delay_seconds")),
        Panel(
            "Streams of events", "short", [("sum by (instance) (orderkeep_event_streams)", "{{instance}}")]
        ),
    ],
    "Cache": [
        Panel(
            "Orders in memory",
            "short",
            [("sum by (instance, worker) (orderkeep_cache_entries)", "{{instance}} {{worker}}")],
        ),
        Panel(
            "Bytes",
            "bytes",
            [
                ("sum by (instance, worker) (orderkeep_cache_bytes)", "{{instance}} {{worker}}"),
                ("max(orderkeep_cache_max_bytes)", "limit"),
            ],
        ),
        Panel("Evictions", "ops", rate("orderkeep_cache_evictions_total", "instance, worker")),
        Panel("Orders erased", "ops", rate("orderkeep_erased_orders_total", "instance, worker")),
        Panel(
            "Following and restoring",
            "short",
            [
                ("min by (instance, worker) (orderkeep_cache_following)", "follows {{instance}} {{worker}}"),
                ("max by (instance, worker) (orderkeep_cache_restoring)", "restores {{instance}} {{worker}}"),
            ],
        ),
        Panel(
            "The last restore",
            "short",
            [
                (
                    "max by (instance, worker) (orderkeep_cache_restored_orders)",
                    "orders {{instance}} {{worker}}",
                ),
                (
                    "max by (instance, worker) (orderkeep_cache_restore_seconds)",
                    "seconds {{instance}} {{worker}}",
                ),
            ],
        ),
        Panel(
            "Redis",
            "ops",
            [
                (f"sum by (result) (rate(orderkeep_redis_reads_total{RATE}))", "read {{result}}"),
                (f"sum by (result) (rate(orderkeep_redis_writes_total{RATE}))", "write {{result}}"),
                ("max(orderkeep_redis_breaker_open)", "not asked"),
            ],
        ),
    ],
    "PostgreSQL and processes": [
        Panel(
            "Connections",
            "short",
            [
                ("sum by (pool, state) (orderkeep_database_connections)", "{{pool}} {{state}}"),
                ("sum by (pool) (orderkeep_database_max_connections)", "{{pool}} at most"),
            ],
        ),
        Panel(
            "The primary answers",
            "short",
            [("min by (instance, worker) (orderkeep_database_up)", "{{instance}} {{worker}}")],
        ),
        Panel(
            "Queue of notifications",
            "percentunit",
            [("max(orderkeep_notification_queue_ratio)", "full")],
            "At 100% no batch can be committed.",
        ),
        Panel(
            "Processors",
            "percentunit",
            [
                (
                    f'rate(process_cpu_seconds_total{{job=~"orderkeep-.*"}}{RATE})',
                    "{{job}} {{instance}} {{worker}}",
                )
            ],
        ),
        Panel(
            "Memory",
            "bytes",
            [
                (
                    'process_resident_memory_bytes{job=~"orderkeep-.*"}',
                    "{{job}} {{instance}} {{worker}}",
                )
            ],
        ),
        Panel(
            "Versions",
            "short",
            [("sum by (job, version, python) (orderkeep_build_info)", "{{job}} {{version}} on {{python}}")],
        ),
    ],
}


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana reads it from a file."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row, members in ROWS.items():
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        panels.append({"type": "row", "title": row, "collapsed": False, "gridPos": place, "panels": []})
        top += 1
        across = COLUMNS // WIDTH
        panels += [
            _panel(panel, n % across * WIDTH, top + n // across * HEIGHT) for n, panel in enumerate(members)
        ]
        top += -(-len(members) // across) * HEIGHT
    return {
        "uid": "orderkeep",
        "title": "Orderkeep",
        "tags": ["orderkeep"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, start=1)],
    }


def _panel(panel: Panel, x: int, y: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "prometheus"}
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": source, "expr": expression, "legendFormat": legend}
            for n, (expression, legend) in enumerate(panel.lines)
        ],
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text())
