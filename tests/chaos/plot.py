"""The distribution of recovery seconds as SVG, readable on light and dark pages."""

import math
from collections.abc import Mapping, Sequence
from html import escape

ROW, NAME_WIDTH, WIDTH, TOP, BOTTOM, RIGHT = 18, 300, 900, 46, 44, 70
LEAST, LIMIT = 0.1, 30.0
"""The axis is logarithmic: half of the recoveries take less than a second or two, and none may take 30."""
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 14px; font-weight: 600 }
  .quiet { fill: #57606a; font-size: 11px }
  .grid { stroke: #d0d7de }
  .limit { stroke: #cf222e; stroke-dasharray: 4 3 }
  .run { fill: #0969da; fill-opacity: .35 }
  .median { stroke: #0a3069; stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .limit { stroke: #f85149 }
    .run { fill: #58a6ff; fill-opacity: .45 } .median { stroke: #f0f6fc }
  }
"""


def plot(recoveries: Mapping[str, Sequence[float]]) -> str:
    """A row of dots for each kind of fault, one a run, with a line at the median; a dashed line at 30 s."""
    slowest = max((max(seconds) for seconds in recoveries.values()), default=LIMIT)
    axis = _Axis(max(LIMIT, slowest) * 1.15)
    bottom = TOP + ROW * len(recoveries)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img" '
        'aria-label="Seconds from the end of a fault until the service is healthy, by kind of fault">',
        f"<style>{STYLE}</style>",
        '<text class="title" x="10" y="20">Seconds from the end of a fault until healthy</text>',
        f'<text class="quiet" x="{WIDTH - RIGHT}" y="20" text-anchor="end">'
        "a dot is one fault, alone where possible; the line is the median</text>",
        *_grid(axis, bottom),
    ]
    for number, (name, seconds) in enumerate(recoveries.items()):
        parts += _row(axis, TOP + ROW * number + ROW / 2, name, seconds)
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    def __init__(self, most: float) -> None:
        self.most = most

    def x(self, seconds: float) -> float:
        share = math.log(max(seconds, LEAST) / LEAST) / math.log(self.most / LEAST)
        return round(NAME_WIDTH + share * (WIDTH - NAME_WIDTH - RIGHT), 1)


def _grid(axis: _Axis, bottom: float) -> list[str]:
    parts = []
    for tick in TICKS:
        if tick > axis.most:
            break
        x, kind = axis.x(tick), "limit" if tick == LIMIT else "grid"
        label = f"≤ {tick:g}" if tick == LEAST else f"{tick:g}"
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="quiet" x="{x}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    middle = (NAME_WIDTH + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="quiet" x="{middle}" y="{bottom + 34}" text-anchor="middle">seconds, logarithmic</text>'
    )
    return parts


def _row(axis: _Axis, y: float, name: str, seconds: Sequence[float]) -> list[str]:
    ordered = sorted(seconds)
    middle = axis.x(ordered[(len(ordered) - 1) // 2])
    return [
        f'<text x="{NAME_WIDTH - 10}" y="{y + 4:g}" text-anchor="end">{escape(name)}</text>',
        *(f'<circle class="run" cx="{axis.x(each)}" cy="{y:g}" r="3.5"/>' for each in ordered),
        f'<line class="median" x1="{middle}" x2="{middle}" y1="{y - 6:g}" y2="{y + 6:g}"/>',
        f'<text class="quiet" x="{WIDTH - RIGHT + 10}" y="{y + 4:g}">{len(ordered)} runs</text>',
    ]
