"""What the pages say is checked where it can be: links, the tests behind each guarantee, settings, codes, metrics."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from continuity.cli.exits import MEANINGS
from continuity.config import Settings, variable
from continuity.core import limits

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "schemas/*.md", "examples/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def section(page, title):
    """The lines of a page between this heading and the next one of its level."""
    _, _, rest = text_of(page).partition(f"\n## {title}\n")
    assert rest, f"{page} has no section {title!r}"
    return rest.partition("\n## ")[0]


def rows(text):
    """The cells of each line of the tables in a text, without headings and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = {number for number, line in enumerate(lines) if set(line) <= set("|- ")}
    bodies = [line for number, line in enumerate(lines) if number not in rules and number + 1 not in rules]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in bodies]


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page):
    for name, target in LINK.findall(FENCE.sub("", text_of(page))):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), f"[{name}]({target})"
        if anchor:
            assert anchor in anchors(found.resolve().relative_to(ROOT)), f"[{name}]({target})"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_test_that_a_page_names_exists(page):
    for name, target in LINK.findall(text_of(page)):
        if name.strip("`").startswith("test_") and target.endswith(".py"):
            tree = ast.parse(((ROOT / page).parent / target).read_text(encoding="utf-8"))
            functions = {
                each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert name.strip("`") in functions, f"{target} has no {name}"


def test_every_guarantee_names_a_test():
    promised = rows(section(Path("README.md"), "What it guarantees"))
    assert len(promised) > 10
    for claim, proof in promised:
        assert re.search(r"\[`test_\w+`\]\(tests/[\w/]+\.py\)", proof), claim


def test_every_decision_is_in_their_index():
    pages = {path.name for path in (ROOT / "docs/decisions").glob("*.md")} - {"README.md"}
    assert pages == {target for _, target in LINK.findall(text_of(Path("docs/decisions/README.md")))}


def test_every_setting_is_in_the_operators_table():
    known = {variable(each.name): each for each in fields(Settings) if each.name != "explicit"}
    documented = {row[0].strip("`"): row for row in rows(section(Path("docs/operations.md"), "Settings"))}
    assert documented.keys() == known.keys()
    for name, row in documented.items():
        default = known[name].default
        if isinstance(default, str | int) and default != "":
            said = str(default).lower() if isinstance(default, bool) else str(default)
            assert row[1].strip("`").replace(",", "") == said, name


def test_every_exit_code_is_in_the_operators_table():
    documented = {
        int(row[0]): row[1] for row in rows(section(Path("docs/operations.md"), "Exit codes")) if row[0].isdigit()
    }
    assert documented == {int(code): meaning for code, meaning in MEANINGS.items()}


def test_every_metric_is_in_the_operators_table():
    code = ROOT / "src/continuity"
    source = "".join(path.read_text(encoding="utf-8") for path in code.glob("*/metrics.py"))
    defined = set(
        re.findall(r'"((?:continuity_|idempotency_|restore_|events_replayed|time_since|journal_|lease_)\w+)"', source)
    )
    documented = {row[0].strip("`") for row in rows(section(Path("docs/operations.md"), "Metrics"))}
    assert {re.sub(r"_total$", "", name) for name in documented} == defined


def test_the_limits_in_the_readme_are_the_ones_of_the_code():
    said = section(Path("README.md"), "Limits").replace(",", "")
    for limit in (
        limits.GOALS_MAX, limits.TASKS_MAX, limits.TASK_TITLE_CHARACTERS_MAX, limits.GOAL_TEXT_CHARACTERS_MAX,
        limits.WHERE_LEFT_OFF_CHARACTERS_MAX, limits.NEXT_STEP_CHARACTERS_MAX, limits.DEPENDENCIES_MAX,
        limits.CRITERIA_MAX, limits.CONTEXT_REFS_MAX, limits.IDEMPOTENCY_WINDOW_EVENTS,
    ):  # fmt: skip
        assert re.search(rf"\b{limit}\b", said), limit


def test_the_format_page_has_the_event_fields_that_are_hashed():
    said = section(Path("schemas/FORMAT.md"), "12. Hash chain")
    quoted = re.sub(r"[>`\s]", "", said[said.index("> `") : said.index("that is all but")])
    from continuity.core.records import Event  # noqa: PLC0415
    from continuity.core.seal import UNCHAINED  # noqa: PLC0415

    assert quoted.split(",") == [name for name in Event.__annotations__ if name not in UNCHAINED]
