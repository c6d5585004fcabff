"""The ratios of a report as SVG, readable on light and dark pages.

python -m orderkeep.bench.plot bench.json > performance.svg
"""

import sys
from html import escape
from pathlib import Path

import msgspec

from orderkeep.bench.results import Measurement, Report

ROW, NAME_WIDTH, WIDTH, TOP, BOTTOM, RIGHT = 24, 230, 900, 46, 30, 210
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 14px; font-weight: 600 }
  .quiet { fill: #57606a; font-size: 11px }
  .grid { stroke: #d0d7de }
  .limit { stroke: #57606a; stroke-dasharray: 4 3 }
  .bar { fill: #0969da; fill-opacity: .7 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .limit { stroke: #9198a1 }
    .bar { fill: #58a6ff }
  }
"""


def plot(report: Report) -> str:
    """A bar for each rate that has a limit beside it: the limit is the dashed line at 1."""
    bars = [
        (each, result.measurements[each.limit])
        for result in report.results.values()
        for each in result.measurements.values()
        if each.limit is not None and each.unit.endswith("/s")
    ]
    most = max([1.0, *(each.ratio or 0.0 for each, _ in bars)])
    bottom = TOP + ROW * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img" '
        'aria-label="Rates of the service as shares of the limits measured beside them">',
        f"<style>{STYLE}</style>",
        '<text class="title" x="10" y="20">Rates as shares of the limit beside them</text>',
        f'<text class="quiet" x="{WIDTH - 10}" y="20" text-anchor="end">{escape(report.machine.cpu)}, '
        f"{report.machine.cores} cores, everything on them; medians</text>",
    ]
    for tick in TICKS:
        x, kind = _x(tick, most), "limit" if tick == 1 else "grid"
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="quiet" x="{x}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for number, (each, limit) in enumerate(bars):
        parts += _bar(TOP + ROW * number, each, limit, most)
    return "\n".join([*parts, "</svg>", ""])


def _x(ratio: float, most: float) -> float:
    return round(NAME_WIDTH + ratio / most * (WIDTH - NAME_WIDTH - RIGHT), 1)


def _bar(y: float, each: Measurement, limit: Measurement, most: float) -> list[str]:
    end, base = _x(each.ratio or 0.0, most), y + ROW / 2 + 4
    told = f"{each.ratio:.2f}: {each.median:,.0f} of {limit.median:,.0f} {limit.unit}"
    return [
        f'<text x="{NAME_WIDTH - 10}" y="{base:g}" text-anchor="end">{escape(each.what)}</text>',
        f'<rect class="bar" x="{NAME_WIDTH}" y="{y + 4}" width="{end - NAME_WIDTH:.1f}" height="{ROW - 8}"/>',
        f'<text class="quiet" x="{WIDTH - RIGHT + 8}" y="{base:g}">{told}</text>',
    ]


if __name__ == "__main__":
    report = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Report)
    sys.stdout.write(plot(report))
