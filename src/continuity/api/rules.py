"""Which codes can refuse which call: for the reader of the OpenAPI document, the sequencer decides. Pure data.

A test holds it equal to what the rules of `core` refuse with.
"""

from continuity.core.decide import GATED

FORM = (
    "missing_field", "unknown_field", "invalid_field", "json_syntax", "json_float", "json_duplicate_key",
    "json_number_range", "json_string", "json_depth", "command_too_large",
)  # fmt: skip
EVERYWHERE = ("unauthorized", "overloaded", "unavailable", "internal")
CONDITIONS = ("idempotency_key_reused", "expected_seq_mismatch", "fenced", "workflow_stopped", "state_too_large")
RULES: dict[str, tuple[str, ...]] = {
    "create_goal": ("too_many_goals",),
    "set_goal_status": ("unknown_goal", "illegal_transition", "goal_has_open_tasks"),
    "set_goal_priority": ("unknown_goal",),
    "add_task": ("unknown_goal", "goal_done", "unknown_dependency", "too_many_tasks"),
    "amend_task": ("unknown_task", "unknown_dependency", "dependency_cycle"),
    "start_task": ("unknown_task", "illegal_transition", "unmet_dependencies", "goal_paused"),
    "pause_task": ("unknown_task", "illegal_transition"),
    "block_task": ("unknown_task", "illegal_transition"),
    "complete_task": ("unknown_task", "illegal_transition"),
    "reopen_task": ("unknown_task", "illegal_transition", "goal_done"),
    "update_checkpoint": ("unknown_task", "illegal_transition"),
    "acquire_lease": ("lease_held",),
    "renew_lease": ("token_needed", "fenced"),
    "release_lease": ("token_needed", "fenced", "not_held"),
    "claim_task": (
        "lease_held",
        "nothing_to_claim",
        "unknown_task",
        "illegal_transition",
        "goal_paused",
        "unmet_dependencies",
    ),
    "begin_step": (
        "token_needed",
        "lease_expired",
        "unknown_task",
        "step_conflict",
        "step_in_progress",
        "too_many_steps",
        "too_many_attempts",
    ),
    "complete_step": ("token_needed", "fenced", "unknown_step", "unknown_attempt", "attempt_closed", "step_completed"),
    "fail_step": ("token_needed", "fenced", "unknown_step", "unknown_attempt", "attempt_closed", "step_completed"),
    "rollback": ("no_such_seq",),
    "fork_project": ("project_exists", "no_such_seq"),
}
"""Which rules can refuse which command: for the reader of the document, the sequencer decides."""
HELD = ("token_needed", "lease_held")
"""How work on a task, or on a project, that somebody holds is refused."""


def codes_of(command_type: str) -> tuple[str, ...]:
    """All codes that a command can be refused with over HTTP."""
    held = HELD if command_type in GATED or command_type == "rollback" else ()
    origin = ("unknown_project",) if command_type == "fork_project" else ()
    return (*RULES[command_type], *origin, *held, *CONDITIONS, *FORM, *EVERYWHERE, "not_yet")
