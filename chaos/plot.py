"""The recovery times as a drawing: a row for each kind, a dot for each fault. SVG, readable on dark and on light."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from benchmarks import svg

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 960, 20, 320, 24, 44, 40
SECONDS_MIN, SECONDS_MAX = 0.01, 100.0
TICKS = (0.01, 0.1, 1.0, 10.0, 100.0)
STYLE = svg.style(
    ".dot{fill:#0969da;opacity:.45}.mid{stroke:currentColor;stroke-width:2}",
    ".dot{fill:#58a6ff}",
)


def drawn(title: str, recoveries: Mapping[str, Sequence[float]]) -> str:
    """Kinds in their order, seconds on a logarithmic scale; the line in each row is its median."""
    rows = [(kind, seconds) for kind, seconds in recoveries.items() if seconds]
    height = TOP + ROW * len(rows) + BOTTOM
    bottom = height - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text x="{LEFT}" y="20">{escape(title)}</text>',
    ]
    for tick in TICKS:
        x = _x(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g} s</text>')
    for number, (kind, seconds) in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(kind)}</text>')
        parts += [f'<circle class="dot" cx="{_x(each):.1f}" cy="{y:.1f}" r="3.5"/>' for each in seconds]
        middle = _x(sorted(seconds)[len(seconds) // 2])
        parts.append(f'<line class="mid" x1="{middle:.1f}" x2="{middle:.1f}" y1="{y - 7:.1f}" y2="{y + 7:.1f}"/>')
    return "\n".join([*parts, "</svg>", ""])


def _x(seconds: float) -> float:
    bounded = min(max(seconds, SECONDS_MIN), SECONDS_MAX)
    share = math.log(bounded / SECONDS_MIN) / math.log(SECONDS_MAX / SECONDS_MIN)
    return LEFT + share * (WIDTH - LEFT - RIGHT)
