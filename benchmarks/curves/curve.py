"""A curve: what was measured at each size, and whether it stays flat."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.rows import Row

FLAT_MAX = 1.5
"""From the first point to the last one."""

Point = tuple[float, float]


class Curve(NamedTuple):
    """Lines over one axis, each a sequence of points in the order of their sizes.

    `flat` are the lines that are costs which may not grow, and `flat_rates` the rates that may not fall.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[Point]]
    flat: Sequence[str] = ()
    flat_rates: Sequence[str] = ()
    is_x_logarithmic: bool = True
    more: Sequence[Row] = ()

    def rows(self) -> list[Row]:
        """How much each flat line grows from its first point to its last, and what else belongs to the curve."""
        grown = [(line, _grown(self.lines[line])) for line in self.flat]
        grown += [(line, 1 / _grown(self.lines[line])) for line in self.flat_rates]
        return [
            *(Row(f"{self.title}: {line}, end to end", ratio, "ratio", "<=", FLAT_MAX) for line, ratio in grown),
            *self.more,
        ]


def _grown(points: Sequence[Point]) -> float:
    return points[-1][1] / points[0][1]
