"""What a person sees of leases, claims and steps: the token, what is taken over, and what a step has come to."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from continuity.answers import LateResult, Lease, StepAnswer, WriteAnswer
from continuity.cli.output import moment, person


def told(answer: WriteAnswer) -> None:
    """What an answer has besides the event."""
    if "project" in answer:
        _row("project", answer["project"])
    if "lease" in answer:
        _lease(answer["lease"])
    if "step" in answer:
        _step(answer["step"])


def late_result(late: LateResult) -> None:
    """One result that came too late."""
    line = Text.assemble(moment(late["refused_at"]), "  ", (late["step_id"], "bold"))
    line.append(f" attempt {late['attempt_id']}, token {late['fencing_token']}, {late['operator_id']}", "cyan")
    person().print(line)
    _row("result", late["result_ref"])
    _row("checksum", late["result_checksum"])


def _lease(lease: Lease | None) -> None:
    if lease is None:
        _row("token", "none: the task was blocked, or the grant has ended")
        return
    _row("token", str(lease["token"]))
    _row("until", f"{moment(lease['expires_at'])} ({lease['ttl_seconds']} s after each renewal)")
    handover: Mapping[str, Any] = lease.get("handover", {})
    if before := handover.get("predecessor"):
        _row("before you", f"{before['owner_id']}, token {before['token']}, {before['reason']}")
    if checkpoint := handover.get("checkpoint"):
        _row("left off", checkpoint["where_we_left_off"])
        _row("next", checkpoint["next_step"])
    for attempt in handover.get("open_attempts", []):
        kind = attempt["step_type"]
        _row("open", f"step {attempt['step_id']} ({kind}), attempt {attempt['attempt_id']}")
    if handover.get("late_results"):
        person().print("  Results came too late:")
        for late in handover["late_results"]:
            late_result(late)


def _step(step: StepAnswer) -> None:
    _row("step", step["status"].replace("_", " "))
    if "attempt_id" in step:
        _row("attempt", str(step["attempt_id"]))
    if key := step.get("external_key"):
        _row("key", key)
    if step.get("ambiguous"):
        _row("careful", "an earlier attempt may have taken effect: ask the other side by the key")
    if ref := step.get("result_ref"):
        _row("result", ref)


def _row(name: str, value: str) -> None:
    person().print(Text.assemble((f"  {name:<11}", "dim"), value))
