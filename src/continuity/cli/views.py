"""What a person sees: answers as a few lines, with the ids that the next command needs. Loads rich; only prints."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from continuity.answers import (
    ActiveWorkState,
    CommandOutcome,
    EventDocument,
    LateResult,
    NextStep,
    ProjectSummary,
    WriteAnswer,
)
from continuity.cli import executing_views as executing
from continuity.cli.output import moment, person
from continuity.core.records import Blocker, Task

if TYPE_CHECKING:
    from continuity.embedded import Status

MARKS = {"todo": ("○", "white"), "doing": ("▶", "bold cyan"), "blocked": ("■", "bold yellow"), "done": ("✓", "green")}
GOAL_MARKS = {"active": ("◆", "bold"), "paused": ("◇", "dim"), "done": ("◆", "green")}
ACTIONS = {
    "continue": ("▶ Continue", "bold cyan"),
    "unblock": ("■ Unblock", "bold yellow"),
    "start": ("○ Start", "bold green"),
    "propose_tasks": ("… Propose tasks", "bold magenta"),
}
REASONS = {
    "doing": "it is being done, and was changed last (event {0})",
    "blocked": "nothing is being done; it was blocked last (event {0})",
    "ready": "it is the oldest ready task (event {1}) of the goal with the highest priority ({0})",
    "none": "no task of an active goal is open and ready",
}
WHAT = ("title", "text", "where_we_left_off", "status", "reason", "evidence")
SUMMARY_CHARACTERS = 90


def written(answer: WriteAnswer) -> None:
    """A command's outcome, and the id of what it made or changed."""
    notes = {"duplicate": " (known already: nothing was done twice)", "durable": " (not decided yet)"}
    seq, word = answer.get("event_seq"), "answered" if answer["status"] == "answered" else "recorded"
    line = Text.assemble(("✓ ", "green"), answer.get("event_type", word), notes.get(answer["status"], ""))
    line.append(f"  event {seq}" if seq is not None else f"  command {answer['command_id']}", "dim")
    person().print(line)
    kind = "task" if "task_id" in answer else "goal"
    if entity := answer.get("task_id") or answer.get("goal_id"):
        person().print(Text.assemble(f"  {kind} ", (entity, "bold")))
    executing.told(answer)
    if "next_step" in answer:
        person().print()
        next_step(answer["next_step"])


def next_step(step: NextStep) -> None:
    """What to do, where it was left, what it needs, and why this."""
    word, style = ACTIONS[step["action"]]
    person().print(Text.assemble((word, style), "  ", (step["title"] or "", "bold")))
    rows: list[tuple[str, str | Text]] = []
    if step["next_step"]:
        rows.append(("next", Text(step["next_step"], "bold")))
    elif step["task_id"]:
        rows.append(("next", Text("no checkpoint yet: begin with the task itself", "dim")))
    if step["where_we_left_off"]:
        rows.append(("left off", step["where_we_left_off"]))
    rows += [("needs" if number == 0 else "", ref) for number, ref in enumerate(step["required_context_refs"])]
    rows += [("blocker", _blocker(blocker)) for blocker in step["blockers"]]
    rows.append(("why", Text(REASONS[step["rank"]["name"]].format(*step["rank"]["key"]), "dim")))
    if step["task_id"]:
        rows.append(("task", step["task_id"]))
    rows.append(("as of", Text(f"event {step['as_of_seq']} · {step['state_checksum'][:12]}", "dim")))
    _rows(rows)


def state(found: ActiveWorkState, *, everything: bool) -> None:
    """Goals with their tasks; done ones only when asked for."""
    console = person()
    head = Text(found["project"], "bold")
    head.append(f"  {found['as_of_seq']} events · checksum {found['state_checksum'][:12]}", "dim")
    console.print(head)
    left = {checkpoint["task_id"]: checkpoint for checkpoint in found["checkpoints"]}
    hidden = 0
    for goal in found["goals"]:
        if goal["status"] == "done" and not everything:
            hidden += 1
            continue
        mark, style = GOAL_MARKS[goal["status"]]
        title = Text.assemble("\n", (f"{mark} {goal['text']}", style))
        title.append(f"  {goal['status']}, priority {goal['priority']}, goal {goal['goal_id']}", "dim")
        console.print(title)
        tasks = [task for task in found["tasks"] if task["goal_id"] == goal["goal_id"]]
        for task in tasks:
            if task["status"] == "done" and not everything:
                hidden += 1
                continue
            _task(task, left.get(task["task_id"]))
    if hidden:
        console.print(Text(f"\n{hidden} done goals and tasks are not shown (--all).", "dim"))


def event(found: EventDocument) -> None:
    """One fact in one line."""
    payload = found["payload"]
    what = next((str(payload[name]) for name in WHAT if payload.get(name)), "") or _blocker_text(payload)
    line = Text.assemble((f"{found['event_seq']:>6}  ", "dim"), moment(found["timestamp"]), "  ")
    line.append(f"{found['event_type']:<19}", "bold").append(f" {found['operator_id']}  ", "cyan")
    line.append(what.splitlines()[0][:SUMMARY_CHARACTERS] if what else "").append(
        f"  {found['task_id'] or found['goal_id'] or ''}", "dim"
    )
    person().print(line)


def late_results(found: Sequence[LateResult]) -> None:
    """What came too late, a line each."""
    if not found:
        person().print("Nothing came too late.")
    for late in found:
        executing.late_result(late)


def projects(found: Sequence[ProjectSummary]) -> None:
    """Names, and how far each has come."""
    if not found:
        person().print("No projects yet: one begins with its first goal (`continuity goal create`).")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("project", "events", "last change"):
        table.add_column(heading, justify="right" if heading == "events" else "left")
    for row in found:
        table.add_row(row["project"], str(row["head_seq"]), moment(row["updated_at"]))
    person().print(table)


def stack(found: "Status") -> None:
    """The parts of the stack, a line each."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("part", "state", "port", "process", "since"):
        table.add_column(heading, overflow="fold")
    for part in found["parts"]:
        style = "green" if part["state"] == "ready" else "yellow"
        since = moment(part["since"])
        pid = str(part["pid"] or "")
        table.add_row(part["name"], Text(part["state"], style), str(part["port"] or ""), pid, since)
    if found["parts"]:
        person().print(table)
    for part in found["parts"]:
        if part["reason"]:
            person().print(Text(f"{part['name']}: {part['reason']} ({part['log']})", "yellow"))
    if found["running"]:
        person().print(Text(f"API {found['api_url']}   data and logs {found['data_dir']}", "dim"))


def outcome(found: CommandOutcome) -> None:
    """What became of a command."""
    if found["status"] == "accepted":
        written({**found, "status": "accepted"})  # type: ignore[typeddict-item,typeddict-unknown-key]  # the same fields
        return
    person().print(
        Text.assemble(("✗ refused  ", "bold red"), found.get("detail", ""), (f" ({found.get('code')})", "dim"))
    )
    person().print(f"  → {found.get('fix', '')}", markup=False)


def _task(task: Task, checkpoint: Mapping[str, Any] | None) -> None:
    mark, style = MARKS[task["status"]]
    line = Text.assemble("  ", (f"{mark} ", style), (task["title"], style if task["status"] == "doing" else ""))
    line.append(f"  {task['status']}, task {task['task_id']}", "dim")
    person().print(line)
    rows: list[tuple[str, str | Text]] = []
    if checkpoint and task["status"] != "done":
        rows.append(("next", checkpoint["next_step"]))
    rows += [("blocker", _blocker(blocker)) for blocker in task.get("blockers", [])]
    if rows:
        _rows(rows, indent=4)


def _blocker(blocker: Blocker) -> str:
    clears = blocker.get("clears_when")
    return blocker["text"] + (f" — clears when {clears}" if clears else "")


def _blocker_text(payload: Mapping[str, Any]) -> str:
    blocker = payload.get("blocker")
    return _blocker(cast("Blocker", blocker)) if isinstance(blocker, Mapping) else ""


def _rows(rows: Sequence[tuple[str, str | Text]], indent: int = 2) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value if isinstance(value, Text) else Text(value))
    person().print(Padding(table, (0, 0, 0, indent), expand=False))
