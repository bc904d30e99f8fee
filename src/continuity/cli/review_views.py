"""What a person sees of an incident's review. Loads rich; only prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from continuity.cli.output import moment, person
from continuity.cli.views import ACTIONS
from continuity.review_answers import Explanation, HistoryEntry, RuleExplained, SnapshotTold, StateDiff, TaskHistory

MARKS = {"chose": ("▶", "bold green"), "had_none": ("·", "yellow"), "not_asked": (" ", "dim")}
KINDS = {"event": "", "attempt": "cyan", "takeover": "bold yellow", "late_result": "bold magenta"}
OBSTACLES = {
    "goal_paused": "its goal is paused",
    "goal_done": "its goal is done",
    "held_by_another": "held by {}",
    "unmet_dependencies": "waits for {}",
}


def explanation(found: Explanation) -> None:
    """The rules in their order, with what each found."""
    answer = found["answer"]
    word, style = ACTIONS[answer["action"]]
    console = person()
    console.print(Text.assemble((word, style), "  ", (answer["title"] or "", "bold")))
    for rule in found["rules"]:
        mark, style = MARKS[rule["verdict"]]
        console.print(Text(f"{mark} {rule['rule']}. {rule['name']}: {rule['because']}", style))
        if rule["verdict"] != "not_asked":
            _candidates(rule)
    console.print(Text(f"as of event {answer['as_of_seq']} · {answer['state_checksum'][:12]}", "dim"))


def _candidates(rule: RuleExplained) -> None:
    console = person()
    for number, each in enumerate(rule["candidates"]):
        rank = ", ".join(map(str, each["key"]))
        style = "bold" if number == 0 else ""
        console.print(Text.assemble(f"     [{rank}] ", (each["title"], style), (f"  {each['task_id']}", "dim")))
    for gone in rule["passed_over"]:
        why = OBSTACLES[gone["why"]].format(", ".join(gone["by"]))
        console.print(Text(f"     - {gone['title']}: {why}", "dim"))
    told = len(rule["candidates"]), len(rule["passed_over"])
    more = rule["candidates_count"] + rule["passed_over_count"] - sum(told)
    if more:
        console.print(Text(f"     and {more} more", "dim"))


def difference(found: StateDiff) -> None:
    """What changed, a line each."""
    console = person()
    console.print(Text(f"{found['project']}: event {found['from_seq']} → {found['to_seq']}", "bold"))
    for line in found["changes"]:
        style = {"+": "green", "-": "red"}.get(line[0], "")
        console.print(Text(f"  {line}", style))
    if not found["changes"]:
        console.print(Text("  nothing changed", "dim"))


def history(found: TaskHistory) -> None:
    """The task, then everything in its order."""
    console = person()
    task = found["task"]
    title = "(rolled back)" if task is None else f"{task['title']}  [{task['status']}]"
    console.print(Text.assemble((title, "bold"), (f"  {found['task_id']}", "dim")))
    for entry in found["entries"]:
        console.print(_line(entry))
    if found["has_more"]:
        console.print(Text("  …", "dim"))


def _line(entry: HistoryEntry) -> Text:
    seq = "" if entry["event_seq"] is None else str(entry["event_seq"])
    line = Text.assemble((f"{seq:>6}  ", "dim"), moment(entry["at"]), "  ")
    line.append(entry["text"], KINDS[entry["kind"]])
    return line.append(f"  {entry['operator_id']}", "dim")


def snapshots(found: Sequence[SnapshotTold]) -> None:
    """One line each."""
    for each in found:
        line = f"{each['last_event_seq']:>8}  {moment(each['created_at'])}  {each['stored']:<6}"
        person().print(Text(f"{line}  {each['size_bytes']:>10,} bytes  {each['state_checksum'][:12]}"))


def verdict(found: Mapping[str, Any]) -> None:
    """Whole, or what is wrong and where."""
    console = person()
    count = f"{found['workflows']:,} projects" if found["workflows"] != 1 else found.get("project") or "1 project"
    if found["ok"]:
        console.print(Text.assemble(("✓ ", "green"), f"{count}, {found['events']:,} events: all as it was written."))
        return
    console.print(Text.assemble(("✗ ", "bold red"), f"{count}, {found['events']:,} events:"))
    for problem in found["problems"]:
        line = f"line {problem['line']}, " if "line" in problem else ""
        seq = "" if problem["event_seq"] is None else f"event {problem['event_seq']}, "
        where = f"{problem['workflow_id']}, {line}{seq}{problem['field']} ({problem['where']})"
        console.print(Text(f"  {where}", "bold"))
        console.print(Text(f"    {problem['detail']}"))
