"""What a person sees of `run`, `demo` and `replay`: what happened, and why it matters. Loads rich; prints only."""

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from continuity.config import HOME_VARIABLE, Settings
from continuity.demo import Beat, Ending
from continuity.embedded import Step
from continuity.keys import LOCAL_KEY_FILE
from continuity.replay import Report

WIDTH_MAX = 110
PHASES = {
    "send": "commands decided and durable",
    "project": "waiting for the database",
    "check": "checking: topic, folds, next steps",
}
CHECKS = {
    "no_fact_lost_or_doubled": "no fact lost, none doubled",
    "refusals_and_skips_expected": "refused and skipped as listed",
    "journal_is_topic": "journal = topic",
    "folds_are_postgres": "fold(events) = fold(deltas) = Postgres",
    "next_step_is_core": "next step: SQL = core",
}

BEATS = {
    "begins": "\n   [bold]{who}[/], an agent, begins (process {pid}).",
    "takes over": "\n   [bold]{who}[/], another agent, begins (process {pid}). It knows the project's name, no more.",
    "goal": "   ◆ goal        {text}",
    "task": "   ○ task        {title}",
    "started": "   ▶ starts      {title}",
    "checkpoint": "   ● checkpoint  {left_off}\n     [dim]then        {next_step}[/]",
    "completed": "   [green]✓[/] done        {title}: {evidence}",
    "left": "   [dim]{who} goes home. What comes next is written down.[/]",
    "killed": "   [bold red]✗ kill -9     {who} is gone[/], in the middle of: {during}",
    "answered": "   It asks what to do, and get_next_step tells:",
    "stopping": "\n   Now everything stops, broker, database and services, and is started again.",
    "started again": "   Asked once more, get_next_step tells:",
}
"""What an agent or the stage did, in words; the names are those of `demo.Beat`."""
COMPARISONS = {
    "answered": "the same step, context and checksum as before the kill",
    "started again": "the same next step and checksum as before the stop",
}


class Story:
    """Tells one run on one console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    # The stack

    def opening(self) -> None:
        """What is about to happen."""
        self._title("Unfinished work that outlives the agent", "on a real Kafka and a real Postgres, on this machine")

    @contextmanager
    def watching(self, doing: str, *, briefly: bool = False) -> "Iterator[Callable[[Step], None]]":
        """Shows a start or a stop while it happens: one line that changes, or a line each where nothing can change."""
        if not self._console.is_terminal:
            yield _nothing if briefly else self._step_in_a_line
            return
        with self._console.status(f"[dim]{doing} …") as status:

            def show(step: Step) -> None:
                size = f" {step.done / 1e6:.0f} of {step.total / 1e6:.0f} MB" if step.total else ""
                status.update(f"[dim]{doing}: {escape(step.part)} {escape(step.message)}{size}")

            yield show

    def _step_in_a_line(self, step: Step) -> None:
        # A download reports often: a log wants its end only.
        if step.done == step.total:
            self._print(f"  [dim]{step.part:<10} {escape(step.message)}[/]")

    def stack_is_up(self, settings: Settings, seconds: float) -> None:
        """Where everything is."""
        self._good(f"The stack is up ({seconds:.1f} s): broker, database, sequencer, projector, API.")
        self._say(f"  data and logs in {settings.data_dir}", "dim")

    def stays_up(self) -> None:
        """The end of the tour, not of the stack."""
        self._say("\nThe stack stays up until you press Ctrl-C.", "bold")

    def interrupted(self) -> None:
        """Somebody pressed Ctrl-C."""
        self._say("\nStopping everything, in order …", "dim")

    def is_down(self, settings: Settings) -> None:
        """The end."""
        self._good(f"Everything is stopped. What was done is kept in {settings.data_dir}.")

    # The demonstration

    def demo_begins(self, project: str) -> None:
        """The title, and what to look at."""
        self._title("An agent dies, another goes on", f"project {project}")

    def beat(self, beat: Beat) -> None:
        """One thing that happened."""
        if beat.what in BEATS:
            told = {name: escape(str(value)) for name, value in beat.told.items()}
            self._print(BEATS[beat.what].format(who=beat.who.capitalize(), **told))
        if "step_now" in beat.told:
            self._step(beat.told["step_now"])
        if beat.what in COMPARISONS:
            what = COMPARISONS[beat.what]
            if beat.told["same"]:
                self._print(f"   [bold green]✓ {what}[/]: {beat.told['length']} bytes, all equal")
            else:
                self._print(f"   [bold red]✗ not {what}[/]")

    def demo_ends(self, ending: Ending) -> None:
        """What it was good for."""
        if not ending["ok"]:
            self._print("\n   [bold red]✗ This is not how it has to be.[/]")
            return
        self._print(
            "\n   The work was in no agent's head and in no process. Each thing done is an event in Kafka's log,\n"
            "   and what is next is computed from the events alone: the same for whoever asks, whenever, wherever."
        )

    def _step(self, step: Any) -> None:
        rows = (
            ("task", step["title"]),
            ("next", step["next_step"]),
            ("left off", step["where_we_left_off"]),
            ("needs", ", ".join(step["required_context_refs"])),
            ("as of", f"event {step['as_of_seq']} · checksum {step['state_checksum'][:12]}"),
        )
        for name, value in rows:
            if value:
                self._print(f"     [dim]{name:<9}[/] {escape(str(value))}")

    # The real history

    def replay_begins(self, history: Path, project: str, workers: int) -> None:
        """The title."""
        self._title("Five weeks of real work, once more", f"{history.name} → project {project}, {workers} workers")

    @contextmanager
    def counting(self) -> "Iterator[Callable[[str, int, int], None]]":
        """Shows how far a replay is."""
        if not self._console.is_terminal:
            yield self._count_in_lines()
            return
        columns = SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("[dim]{task.description}")
        with Progress(*columns, console=self._console, transient=True) as bar:
            rows: dict[str, TaskID] = {}

            def show(phase: str, done: int, total: int) -> None:
                if phase not in rows:
                    rows[phase] = bar.add_task(PHASES[phase])
                bar.update(rows[phase], completed=done, total=total)

            yield show

    def _count_in_lines(self) -> Callable[[str, int, int], None]:
        seen: set[tuple[str, int]] = set()

        def show(phase: str, done: int, total: int) -> None:
            quarter = 4 * done // total
            if (phase, quarter) not in seen and (phase == "send" or not done):
                seen.add((phase, quarter))
                amount = f" {done:,} of {total:,}" if phase == "send" else ""
                self._say(f"  {PHASES[phase]}{amount}", "dim")

        return show

    def replay_ends(self, report: Report) -> None:
        """What became of what, and every check."""
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("fact in the history")
        table.add_column("becomes")
        table.add_column("count", justify="right")
        for row in report["mapping"]:
            becomes = " → ".join(row["becomes"])
            table.add_row(f"  {row['kind']}", becomes or "[dim]skipped", f"{row['facts']:,}")
        self._print(table)
        before = f" ({report['duplicates']:,} of them were there before)" if report["duplicates"] else ""
        self._say(
            f"  {report['facts']:,} facts, {report['commands']:,} commands, {report['events']:,} events{before}; "
            f"sent in {report['send_seconds']:.1f} s, {report['commands_per_second']:,} commands/s"
        )
        for check in report["checks"]:
            self._mark(check["ok"], f"{CHECKS[check['name']]:<38} [dim]{escape(check['saw'])}[/]")
        for title, entries in (
            ("not expected", report["unexpected"]),
            ("expected, and did not happen", report["missing"]),
        ):
            for entry in entries[:10]:
                self._say(
                    f"    {title}: line {entry['line']} {entry['outcome']} {entry['code']}: {entry['reason']}", "red"
                )

    # The end

    def summary(self, settings: Settings, ending: Ending, report: Report, seconds: float) -> None:
        """What was shown, where things are, and commands that work as they stand here."""
        good = ending["ok"] and report["ok"]
        self._title("All of it held" if good else "Not all of it held", f"{seconds:.0f} s")
        over_restart = ending["next_step_match"] and ending["state_checksum_match"]
        self._mark(ending["resumed_same_step"], "the second agent was told the very step in which the first was killed")
        self._mark(over_restart, "stopping and starting everything changed no byte of the next answer")
        amount = f"{report['facts']:,} facts became {report['events']:,} events, {report['refused']} were refused"
        self._mark(report["ok"], f"{amount} as listed; log, database and core agree")
        key = settings.data_dir / LOCAL_KEY_FILE
        self._print(f"\n  [dim]API [/] {settings.api_url}   [dim]its calls: {settings.api_url}/docs")
        self._print(f"  [dim]key [/] {escape(str(key))}   [dim]readable by you only")
        self._print("\n  Try, in another terminal:")
        program, demo, tracker = _program(), ending["project"], report["project"]
        if settings.data_dir != Settings().data_dir:
            self._command(f"export {HOME_VARIABLE}={shlex.quote(str(settings.data_dir))}")
        self._command(f"{program} next --project {demo}", "what an agent would do now")
        self._command(f"{program} events --project {demo}", "who did what, and when")
        self._command(f"{program} state --project {tracker}", "what the real project left unfinished")
        self._command(f'{program} goal create "Ship it" --project mine', "begin your own")
        header = f'-H "Authorization: Bearer $(cat {shlex.quote(str(key))})"'
        self._command(f"curl {header} {settings.api_url}/v1/projects/{demo}/next-step")

    def try_next(self, project: str) -> None:
        """What to ask after a demonstration or a replay alone."""
        self._print("")
        self._command(f"{_program()} next --project {project}", "what is next there")
        self._command(f"{_program()} events --project {project}", "who did what, and when")

    def _command(self, command: str, why: str = "") -> None:
        comment = f"  [dim]# {why}[/]" if why else ""
        # One line, however long: it is there to be copied.
        self._console.print(f"    [cyan]{escape(command)}[/]{comment}", soft_wrap=True)

    def _mark(self, good: bool, text: str) -> None:  # noqa: FBT001 - a value that was found
        self._print(f"  [green]✓[/] {text}" if good else f"  [bold red]✗[/] {text}")

    def _title(self, text: str, aside: str) -> None:
        self._print(f"\n[bold]{escape(text)}[/]  [dim]{escape(aside)}[/]")

    def _good(self, text: str) -> None:
        self._print(f"[green]✓[/] {escape(text)}")

    def _say(self, text: str, style: str = "") -> None:
        self._print(escape(text), style=style)

    def _print(self, what: Any, style: str = "") -> None:
        self._console.print(what, style=style)


def _nothing(_step: Step) -> None:
    pass


def _program() -> str:
    """How this program can be called from where the person stands."""
    found = shutil.which("continuity")
    mine = Path(sys.argv[0]).absolute()
    if found and Path(found).absolute() == mine:
        return "continuity"
    if mine.name != "continuity":
        return f"{shlex.quote(sys.executable)} -m continuity.cli"
    shown = mine.relative_to(Path.cwd()) if mine.is_relative_to(Path.cwd()) else mine
    return shlex.quote(str(shown))
