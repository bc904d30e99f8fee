"""What is made of measured points: rows that say whether they are flat, a picture, and a page that shows it."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.curves import drawing, measuring
from benchmarks.curves.curve import Curve
from benchmarks.rows import Row

SVG = "{http://www.w3.org/2000/svg}"
COST = Curve(
    "cost", "Cost of an event", "tasks", "µs", {"decide": [(10, 100.0), (100, 300.0), (10_000, 120.0)]}, flat=["decide"]
)
RATE = Curve(
    "rate", "Commits", "workflows", "commands/s", {"native": [(1, 900.0), (1_000, 450.0)]}, flat_rates=["native"]
)
COURSE = Curve(
    "lag", "Behind", "seconds", "records", {"64 callers": [(n / 2, float(n % 7)) for n in range(60)]},
    is_x_logarithmic=False, more=[Row("caught up", 9.0, "s")],
)  # fmt: skip


def test_a_cost_may_not_grow_and_a_rate_may_not_fall() -> None:
    assert [(row.value, row.met) for row in COST.rows()] == [(1.2, True)]
    assert [(row.value, row.met) for row in RATE.rows()] == [(2.0, False)]
    assert COURSE.rows() == [Row("caught up", 9.0, "s")]


@pytest.mark.parametrize("curve", [COST, RATE, COURSE], ids=lambda curve: curve.name)
def test_every_point_is_drawn_within_the_picture(curve: Curve) -> None:
    root = ET.fromstring(drawing.drawn(curve))
    (line,) = root.iter(f"{SVG}path")
    places = [tuple(map(float, place.split())) for place in line.attrib["d"].removeprefix("M").split("L")]
    (points,) = curve.lines.values()
    assert len(places) == len(points)
    for x, y in places:
        assert drawing.LEFT <= x <= drawing.WIDTH - drawing.RIGHT
        assert drawing.TOP <= y <= drawing.HEIGHT - drawing.BOTTOM
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    highest = max(points, key=lambda point: point[1])
    assert min(places, key=lambda place: place[1])[0] == places[points.index(highest)][0], "up is more"
    assert line.attrib["fill"] == "none"
    assert "prefers-color-scheme:dark" in drawing.drawn(curve)


def test_the_page_shows_each_picture_and_says_what_is_missed(tmp_path: Path) -> None:
    page = tmp_path / "growth.md"
    measuring.write([COST, RATE, COURSE], page, ["tasks", "lag"], "a machine")
    text = page.read_text()
    assert "`./dev bench --curves --only tasks --only lag` on a machine." in text
    for curve in (COST, RATE, COURSE):
        assert f"](growth/{curve.name}.svg)" in text
        assert (tmp_path / "growth" / f"{curve.name}.svg").exists()
    assert "ratio, **missed**" in text
    assert "| 10,000 | 120.00 |" in text
    assert "| 29" not in text, "a course over time has no table"
