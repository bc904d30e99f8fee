"""Curves as SVG, readable on dark and on light."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks import svg
from benchmarks.curves.curve import Curve, Point

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 84, 48, 64, 56
STYLE = svg.style(
    "path{stroke-width:2}path.a{stroke:#0969da}circle.a{fill:#0969da}path.b{stroke:#bc4c00}circle.b{fill:#bc4c00}"
    "path.c{stroke:#1a7f37}circle.c{fill:#1a7f37}",
    "path.a{stroke:#58a6ff}circle.a{fill:#58a6ff}path.b{stroke:#f0883e}circle.b{fill:#f0883e}"
    "path.c{stroke:#3fb950}circle.c{fill:#3fb950}",
)
KINDS = "abc"
STEPS = (1, 2, 2.5, 5, 10)
TICKS = 5


def drawn(curve: Curve) -> str:
    """The whole picture. y begins at nought, so that what is flat looks flat."""
    points = [point for line in curve.lines.values() for point in line]
    horizontal = _Scale([x for x, _ in points], LEFT, WIDTH - RIGHT, is_logarithmic=curve.is_x_logarithmic)
    vertical = _Scale([0.0, *(y for _, y in points)], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(curve.title)}</title><style>{STYLE}</style>",
        f'<text x="{LEFT}" y="20" font-weight="600">{escape(curve.title)}, {escape(curve.y_label)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(curve.x_label)}</text>',
    ]
    for tick in vertical.ticks:
        y = vertical.place(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,.10g}</text>')
    for tick in horizontal.ticks:
        x = horizontal.place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:,.10g}</text>')
    for number, (name, line) in enumerate(curve.lines.items()):
        places = [(horizontal.place(x), vertical.place(y)) for x, y in line]
        parts += _line(KINDS[number % len(KINDS)], places, LEFT + 200 * number, name)
    return "\n".join([*parts, "</svg>", ""])


def _line(kind: str, places: Sequence[Point], legend: int, name: str) -> list[str]:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places] if len(places) < 30 else []  # noqa: PLR2004
    return [
        f'<path class="{kind}" fill="none" d="{path}"/>',
        *dots,
        f'<circle class="{kind}" cx="{legend + 4}" cy="40" r="4"/>',
        f'<text x="{legend + 14}" y="44">{escape(name)}</text>',
    ]


class _Scale:
    """Where values lie between two edges, and which of them are named."""

    def __init__(self, values: Sequence[float], first: float, last: float, *, is_logarithmic: bool = False) -> None:
        self._first, self._last, self._is_logarithmic = first, last, is_logarithmic
        self.ticks = _powers(values) if is_logarithmic else _round_steps(max(values))
        ends = [*values, *self.ticks]
        self._low, self._high = self._of(min(ends)), self._of(max(ends))

    def place(self, value: float) -> float:
        share = (self._of(value) - self._low) / ((self._high - self._low) or 1)
        return self._first + share * (self._last - self._first)

    def _of(self, value: float) -> float:
        return math.log10(value) if self._is_logarithmic else value


def _powers(values: Sequence[float]) -> list[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, high + 1)]


def _round_steps(top: float) -> list[float]:
    rough = top / TICKS or 1
    power = 10 ** math.floor(math.log10(rough))
    step = next(each * power for each in STEPS if each * power >= rough)
    return [step * number for number in range(math.ceil(top / step) + 1)]
