"""The verbs that show the product at work: `run` (everything), `demo` and `replay`.

The work is that of `embedded`, `demo` and `replay`; here it is put together, shown while it happens, and summed up.
With `--json` the story goes to stderr, so that stdout has one object.
"""

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from continuity.cli import output
from continuity.cli.exits import Exit
from continuity.cli.options import Json, Project, named, settings_of_this_environment
from continuity.errors import ConfigError

if TYPE_CHECKING:
    from continuity.cli.story import Story
    from continuity.config import Settings
    from continuity.demo import Ending
    from continuity.replay import Report

HISTORY = Path("examples") / "tracker-history.jsonl"
WORKERS = 8
WORKERS_MAX = 256
OWN_CLUSTER = frozenset({"kafka_bootstrap", "postgres_dsn"})
"""Settings of whoever runs a broker and a database without `continuity up`."""
LOOK_SECONDS = 1.0
"""How soon `run` notices that somebody else has stopped the stack."""

History = Annotated[
    Path, typer.Argument(metavar="HISTORY", help="The facts, a JSON object a line.", show_default=False)
]
Workers = Annotated[int, typer.Option("--workers", metavar="N", min=1, max=WORKERS_MAX, help="How many send at once.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (run, demo, replay):
        app.command(rich_help_panel="Tour")(verb)


def run(
    once: Annotated[bool, typer.Option("--once", help="Stop everything at the end.")] = False,
    json: Json = False,
) -> int:
    """Start everything, play the demonstration and the real history, and stay up until Ctrl-C."""
    from continuity import embedded  # noqa: PLC0415 - each verb loads what it needs
    from continuity.cli.story import Story  # noqa: PLC0415

    began = time.monotonic()
    asked, history, story = settings_of_this_environment(), _shipped_history(), Story(output.person(stderr=json))
    code = Exit.INTERRUPTED
    with _stopped_by_signals():
        story.opening()
        with story.watching("starting") as progress:
            settings = embedded.up(asked, progress, owner_pid=os.getpid())
        try:
            story.stack_is_up(settings, time.monotonic() - began)
            code = _tour(story, settings, history, began, as_json=json)
            if not once:
                story.stays_up()
                while embedded.status(settings)["running"]:
                    time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            story.interrupted()
            if code is Exit.INTERRUPTED and json:
                output.fail("interrupted", "The run was interrupted.", "Start it again.", as_json=True)
        finally:
            with story.watching("stopping") as progress:
                embedded.down(asked, progress)
        story.is_down(settings)
    return code


def demo(json: Json = False) -> int:
    """Kill an agent in the middle of a task, and let another go on; then restart the whole stack of this machine."""
    from continuity.cli.story import Story  # noqa: PLC0415

    settings = settings_of_this_environment()
    _check_running(settings)
    story = Story(output.person(stderr=json))
    ending, _ = _demo(story, settings, f"demo-{secrets.token_hex(3)}", owner_pid=None)
    story.try_next(ending["project"])
    found = {**ending, "next_step": dict(ending["next_step"])}
    return _answer(found, ok=ending["ok"], what="The demonstration", as_json=json)


def replay(history: History, project: Project = "", workers: Workers = WORKERS, json: Json = False) -> int:
    """Turn a tracker's history into the work of a project, by several workers at once, and check everything."""
    from continuity.cli.story import Story  # noqa: PLC0415

    story, settings = Story(output.person(stderr=json)), settings_of_this_environment()
    if not settings.explicit >= OWN_CLUSTER:
        _check_running(settings)
    report = _replay(story, settings, history, named(project), workers)
    story.try_next(project)
    return _answer(dict(report), ok=report["ok"], what="The replay", as_json=json)


def _tour(story: "Story", settings: "Settings", history: Path, began: float, *, as_json: bool) -> Exit:
    name = secrets.token_hex(3)
    ending, settings = _demo(story, settings, f"demo-{name}", owner_pid=os.getpid())
    report = _replay(story, settings, history, f"tracker-{name}", WORKERS)
    seconds = round(time.monotonic() - began, 1)
    ok = ending["ok"] and report["ok"]
    story.summary(settings, ending, report, seconds)
    found = {
        "events": ending["events"] + report["events"],
        "rejected": report["refused"],
        "resumed_same_step": ending["resumed_same_step"],
        "state_checksum_match": ending["state_checksum_match"] and report["state_checksum_match"],
        "next_step_match": ending["next_step_match"] and report["next_step_match"],
        "seconds": seconds,
    }
    return _answer(found, ok=ok, what="The run", as_json=as_json)


def _demo(story: "Story", settings: "Settings", project: str, owner_pid: int | None) -> "tuple[Ending, Settings]":
    from continuity import embedded  # noqa: PLC0415
    from continuity.demo import play  # noqa: PLC0415

    now = settings

    def restart() -> "Settings":
        nonlocal now
        with story.watching("stopping", briefly=True) as progress:
            embedded.down(settings, progress)
        with story.watching("starting", briefly=True) as progress:
            now = embedded.up(settings, progress, owner_pid=owner_pid)
        return now

    story.demo_begins(project)
    ending = play(settings, project, restart=restart, tell=story.beat)
    story.demo_ends(ending)
    return ending, now


def _replay(story: "Story", settings: "Settings", history: Path, project: str, workers: int) -> "Report":
    from continuity.replay import replay as run_replay  # noqa: PLC0415

    story.replay_begins(history, project, workers)
    with story.counting() as progress:
        report = run_replay(settings, history, project, workers=workers, progress=progress)
    story.replay_ends(report)
    return report


def _answer(found: dict[str, Any], *, ok: bool, what: str, as_json: bool) -> Exit:
    """Print the result for a program, where one asked, and choose the exit code."""
    if ok:
        if as_json:
            output.succeed(found)
        return Exit.OK
    fix = "What is different stands above; the logs are in the data folder. Please report it."
    output.fail("checks_failed", f"{what} did not come out as it has to.", fix, as_json=as_json, **_members(found))
    return Exit.UNEXPECTED


def _members(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "ok"}


def _check_running(settings: "Settings") -> None:
    from continuity import embedded  # noqa: PLC0415

    if not embedded.status(settings)["running"]:
        raise ConfigError(
            f"No stack runs in {settings.data_dir}.",
            fix="Start it with `continuity up`, or see everything at once with `continuity run`.",
            code="not_running",
        )


def _shipped_history() -> Path:
    """The history in the project's folder: this one, or the one that the program runs from."""
    places = [Path.cwd(), Path(__file__).parents[3]]
    for place in places:
        if (place / HISTORY).is_file():
            return place / HISTORY
    raise ConfigError(f"There is no {HISTORY} here.", fix="Run it in the project's folder.")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does; and both do it also where a script's `&` has told the process to ignore Ctrl-C."""
    numbers = signal.SIGINT, signal.SIGTERM
    earlier = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, earlier, strict=True):
            signal.signal(number, handler)
