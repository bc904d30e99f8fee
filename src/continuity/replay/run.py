"""The whole replay: read the history, plan it, send it, collect the evidence, check it. Its door is `replay`."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from continuity.api.reads import Reads
from continuity.config import Settings
from continuity.core import canonical
from continuity.core.ids import NAME, workflow_id
from continuity.core.records import Event
from continuity.core.seal import Damaged
from continuity.errors import ConfigError, IntegrityError
from continuity.keys import LOCAL_TENANT
from continuity.producers import AsyncCommandClient
from continuity.replay import check, evidence, expected, history
from continuity.replay.check import Check, Folds
from continuity.replay.evidence import Beginning
from continuity.replay.expected import Difference
from continuity.replay.mapping import Deviation
from continuity.replay.plan import Plan, plan
from continuity.replay.rehearsal import rehearse
from continuity.replay.sending import Sent, send_all

WORKERS = 8

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many of how many commands or checks are done."""


class CheckReport(TypedDict):
    """One thing that had to hold, and what was seen."""

    name: str
    ok: bool
    saw: str


class Report(TypedDict):
    """What a replay was. `seconds` is all of it, `send_seconds` the part in which the workers were sending.

    `events` are those of the project; `duplicates` of them were there before. `mapping` has a row for each kind of
    fact: what it becomes (nothing: skipped), how many facts there are.
    """

    ok: bool
    history: str
    project: str
    facts: int
    applied: int
    refused: int
    skipped: int
    commands: int
    events: int
    duplicates: int
    workers: int
    seconds: float
    send_seconds: float
    commands_per_second: float
    state_checksum: str
    state_checksum_match: bool
    next_step_match: bool
    mapping: list[dict[str, Any]]
    checks: list[CheckReport]
    unexpected: list[dict[str, Any]]
    missing: list[dict[str, Any]]


def replay(
    settings: Settings,
    path: Path,
    project: str,
    *,
    tenant: str = LOCAL_TENANT,
    workers: int = WORKERS,
    progress: Progress = lambda _what, _done, _total: None,
) -> Report:
    """Replay the history at `path` into a project and check everything.

    The list of expected refusals stands beside the history (`NAME.expected.json`); without one, the outcomes of the
    core alone are expected. A second replay into the same project sends nothing twice. Raises ConfigError (the file,
    the name or the project cannot be used), Retryable (something stays away) and IntegrityError.
    """
    return asyncio.run(_replay(settings, path, (tenant, project), workers, progress))


async def _replay(settings: Settings, path: Path, place: tuple[str, str], workers: int, progress: Progress) -> Report:
    started = time.monotonic()
    made, due = prepare(path, *place)
    begin = await evidence.beginning(settings, *place)
    async with Reads(settings) as reads, AsyncCommandClient(settings) as client:
        known = await evidence.journal(reads, *place)
        sent = await send_all(
            made,
            client,
            {event["command_id"]: (event["event_seq"], event["command_digest"]) for event in known},
            workers=workers,
            progress=lambda done, total: progress("send", done, total),
        )
        seen = await _collect(settings, reads, made, sent, begin, progress)
    ended = Ended(made, sent, seen, *_judged(made, due, sent, seen))
    return _report(ended, path.name, workers, time.monotonic() - started)


def prepare(path: Path, tenant: str, project: str) -> tuple[Plan, tuple[Deviation, ...]]:
    """The plan of the history at `path`, and the refusals and skips that it has to have."""
    if not NAME.fullmatch(project):
        raise ConfigError(f"{project!r:.80} is no name of a project.", fix=f"Use one like {NAME.pattern}.")
    try:
        with path.open("rb") as lines:
            made = plan(history.read(lines), tenant, project)
        listed = expected.place(path)
        due = expected.loads(listed.read_text()) if listed.exists() else rehearse(made).deviations
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", fix="Give the path of a history.") from None
    return made, due


class Seen(NamedTuple):
    """The evidence, and the folds made of it."""

    journal: list[Event]
    topic: list[Event]
    rows: Any
    folds: Folds
    sql_steps: dict[int, bytes]
    live_step: bytes


class Ended(NamedTuple):
    """A whole replay: what was planned, sent and found, every check, and where refusals and skips are not as listed."""

    made: Plan
    sent: Sent
    seen: Seen
    checks: list[Check]
    difference: Difference


async def _collect(
    settings: Settings, reads: Reads, made: Plan, sent: Sent, begin: Beginning, progress: Progress
) -> Seen:
    place = (made.tenant, made.project)
    workflow = workflow_id(*place)
    progress("project", 0, 1)
    journal = await evidence.journal(reads, *place, head_seq=max(sent.accepted.values(), default=0))
    progress("check", 0, 3)
    found = await asyncio.to_thread(evidence.topic, settings, begin, workflow)
    progress("check", 1, 3)
    at = check.positions(len(found.events))
    try:
        folds = await asyncio.to_thread(check.fold, workflow, found.events, at)
    except Damaged as damage:
        raise IntegrityError(
            damage.detail, workflow_id=workflow, event_seq=damage.event_seq, field=damage.field
        ) from None
    progress("check", 2, 3)
    steps = await evidence.next_steps(settings, *place, found.values, at)
    rows, live_step = await reads.state(*place), canonical.dumps(await reads.next_step(*place))
    progress("check", 3, 3)
    return Seen(journal, found.events, rows, folds, steps, live_step)


def _judged(made: Plan, due: tuple[Deviation, ...], sent: Sent, seen: Seen) -> tuple[list[Check], Difference]:
    expectations, difference = check.check_deviations(check.deviations(made, sent, due), due)
    checks = [
        check.check_facts(made, sent, seen.journal),
        expectations,
        check.check_journal(seen.journal, seen.topic),
        check.check_folds(seen.folds, seen.rows),
        check.check_next_steps(seen.folds.next_steps, seen.sql_steps, seen.live_step),
    ]
    return checks, difference


def _report(whole: Ended, history_name: str, workers: int, seconds: float) -> Report:
    made, sent, seen, checks, difference = whole
    by_name = {each.name: each.ok for each in checks}
    ended = check.facts(made, sent)
    return Report(
        ok=all(by_name.values()),
        history=history_name,
        project=made.project,
        facts=made.facts,
        applied=ended.applied,
        refused=ended.refused,
        skipped=ended.skipped,
        commands=len(made.commands),
        events=len(seen.journal),
        duplicates=sent.known,
        workers=workers,
        seconds=round(seconds, 2),
        send_seconds=round(sent.seconds, 2),
        commands_per_second=round(sent.commands_per_second),
        state_checksum=seen.folds.events.checksum,
        state_checksum_match=by_name["folds_are_postgres"],
        next_step_match=by_name["next_step_is_core"],
        mapping=[each._asdict() for each in made.counts],
        checks=[CheckReport(name=each.name, ok=each.ok, saw=each.saw) for each in checks],
        unexpected=[each._asdict() for each in difference.unexpected],
        missing=[each._asdict() for each in difference.missing],
    )
