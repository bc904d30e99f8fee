"""The commands of the product, each declared once: a frozen dataclass with its limits and its meaning. Pure.

HTTP routes, CLI verbs, SDK methods, JSON Schemas and the sequencer's form check all come from these declarations.
The transitions they ask for are in `core.transitions`, what they mean for the state in `core.decide`.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from continuity.core import limits
from continuity.core.canonical import InvalidJson, loads_canonical
from continuity.core.fields import (
    BlockerForm,
    Choice,
    Digest,
    Field,
    Flag,
    FormError,
    Id,
    Integer,
    Many,
    Name,
    Project,
    Text,
)
from continuity.core.records import Blocker

GoalId = Annotated[str, Id()]
TaskId = Annotated[str, Id()]
GoalText = Annotated[str, Text(limits.GOAL_TEXT_CHARACTERS_MAX)]
Priority = Annotated[int, Integer(limits.GOAL_PRIORITY_MIN, limits.GOAL_PRIORITY_MAX)]
Title = Annotated[str, Text(limits.TASK_TITLE_CHARACTERS_MAX, one_line=True)]
Criteria = Annotated[list[str] | None, Many(Text(limits.CRITERION_CHARACTERS_MAX), limits.CRITERIA_MAX)]
Dependencies = Annotated[list[str] | None, Many(Id(), limits.DEPENDENCIES_MAX)]
OwnerId = Annotated[str, Text(limits.OPERATOR_CHARACTERS_MAX, one_line=True)]
TtlSeconds = Annotated[int, Integer(1, limits.TTL_SECONDS_MAX)]
AnyTaskId = Annotated[str | None, Id()]
StepId = Annotated[str, Name(limits.STEP_ID_CHARACTERS_MAX)]
AttemptId = Annotated[int, Integer(1, limits.ATTEMPTS_MAX)]
Refs = Annotated[list[str], Many(Text(limits.CONTEXT_REF_CHARACTERS_MAX, one_line=True), limits.CONTEXT_REFS_MAX)]


@dataclass(frozen=True, slots=True)
class CreateGoal:
    """Create an active goal; a larger priority comes first."""

    text: GoalText
    priority: Priority = 0


@dataclass(frozen=True, slots=True)
class SetGoalStatus:
    """Make a goal active, paused or done; done only without open tasks."""

    goal_id: GoalId
    status: Annotated[str, Choice(("active", "paused", "done"))]


@dataclass(frozen=True, slots=True)
class SetGoalPriority:
    """Give a goal another priority; a larger one comes first."""

    goal_id: GoalId
    priority: Priority


@dataclass(frozen=True, slots=True)
class AddTask:
    """Add a task to a goal that is not done. It begins as todo; it can be started once its dependencies are done."""

    goal_id: GoalId
    title: Title
    acceptance_criteria: Criteria = None
    depends_on: Dependencies = None


@dataclass(frozen=True, slots=True)
class AmendTask:
    """Replace a task's title, acceptance criteria or dependencies: those that are given."""

    task_id: TaskId
    title: Annotated[str | None, Text(limits.TASK_TITLE_CHARACTERS_MAX, one_line=True)] = None
    acceptance_criteria: Criteria = None
    depends_on: Dependencies = None


@dataclass(frozen=True, slots=True)
class StartTask:
    """Start a task that is todo or blocked: its dependencies must be done and its goal active."""

    task_id: TaskId


@dataclass(frozen=True, slots=True)
class PauseTask:
    """Put a task that is doing or blocked back to todo."""

    task_id: TaskId
    reason: Annotated[str | None, Text(limits.REASON_CHARACTERS_MAX)] = None


@dataclass(frozen=True, slots=True)
class BlockTask:
    """Say what keeps a task that is doing from going on, and what clears it."""

    task_id: TaskId
    blocker: Annotated[Blocker, BlockerForm()]


@dataclass(frozen=True, slots=True)
class CompleteTask:
    """Complete a task that is doing, with the evidence where there is some."""

    task_id: TaskId
    evidence: Annotated[str | None, Text(limits.EVIDENCE_CHARACTERS_MAX)] = None


@dataclass(frozen=True, slots=True)
class ReopenTask:
    """Take a done task up again, as doing; its goal must not be done."""

    task_id: TaskId


@dataclass(frozen=True, slots=True)
class UpdateCheckpoint:
    """Say where a task was left (1-3 sentences), the next single action (one line), and the context it needs."""

    task_id: TaskId
    where_left_off: Annotated[str, Text(limits.WHERE_LEFT_OFF_CHARACTERS_MAX)]
    next_step: Annotated[str, Text(limits.NEXT_STEP_CHARACTERS_MAX, one_line=True)]
    context_refs: Refs


@dataclass(frozen=True, slots=True)
class AcquireLease:
    """Hold the whole project, alone: for an owner that nobody else's lease or claim stands in the way of.

    Answers with a new fencing token, also for the same owner; commands on tasks need it from then on.
    """

    owner_id: OwnerId
    ttl_seconds: TtlSeconds


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Push the expiry of the token's lease or claim out by its ttl. Costs no event."""

    task_id: AnyTaskId = None


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """End the token's lease or claim. With `force`, without a token, whoever's it is: the event names who did it."""

    task_id: AnyTaskId = None
    force: Annotated[bool, Flag()] = False


@dataclass(frozen=True, slots=True)
class ClaimTask:
    """Hold one task: the named one, or the next that is ready and that nobody holds. A todo task is started by it."""

    owner_id: OwnerId
    ttl_seconds: TtlSeconds
    task_id: AnyTaskId = None


@dataclass(frozen=True, slots=True)
class BeginStep:
    """Begin an attempt of a step, under an unexpired token. A completed step answers with its stored result.

    A `non_idempotent` step has an external key, the same on every attempt; its earlier attempts are ambiguous.
    """

    step_id: StepId
    step_type: Annotated[str, Choice(("pure", "idempotent", "non_idempotent"))]
    task_id: AnyTaskId = None
    external_key: Annotated[str | None, Text(limits.EXTERNAL_KEY_CHARACTERS_MAX, one_line=True)] = None


@dataclass(frozen=True, slots=True)
class CompleteStep:
    """Complete a step by its open attempt, once and for ever, with a reference to its result where there is one."""

    step_id: StepId
    attempt_id: AttemptId
    result_ref: Annotated[str | None, Text(limits.RESULT_REF_CHARACTERS_MAX, one_line=True)] = None
    result_checksum: Annotated[str | None, Digest()] = None


@dataclass(frozen=True, slots=True)
class FailStep:
    """Close an attempt that did not succeed; the step can be begun again."""

    step_id: StepId
    attempt_id: AttemptId
    error: Annotated[str | None, Text(limits.STEP_ERROR_CHARACTERS_MAX)] = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """Bring goals, tasks and checkpoints back to how they stood after an event. What was done since stays in history.

    Refused while another holds the project or one of its tasks. It can be rolled back itself.
    """

    to_seq: Annotated[int, Integer(1, limits.JSON_INTEGER_MAX)]


@dataclass(frozen=True, slots=True)
class ForkProject:
    """Begin this project, which must be new, on the state that another one had after an event."""

    from_project: Annotated[str, Project()]
    at_seq: Annotated[int, Integer(1, limits.JSON_INTEGER_MAX)]


Body = (
    CreateGoal | SetGoalStatus | SetGoalPriority | AddTask | AmendTask | StartTask | PauseTask | BlockTask
    | CompleteTask | ReopenTask | UpdateCheckpoint | AcquireLease | RenewLease | ReleaseLease | ClaimTask | BeginStep
    | CompleteStep | FailStep | Rollback | ForkProject
)  # fmt: skip

COMMANDS: dict[str, type[Body]] = {
    "create_goal": CreateGoal,
    "set_goal_status": SetGoalStatus,
    "set_goal_priority": SetGoalPriority,
    "add_task": AddTask,
    "amend_task": AmendTask,
    "start_task": StartTask,
    "pause_task": PauseTask,
    "block_task": BlockTask,
    "complete_task": CompleteTask,
    "reopen_task": ReopenTask,
    "update_checkpoint": UpdateCheckpoint,
    "acquire_lease": AcquireLease,
    "renew_lease": RenewLease,
    "release_lease": ReleaseLease,
    "claim_task": ClaimTask,
    "begin_step": BeginStep,
    "complete_step": CompleteStep,
    "fail_step": FailStep,
    "rollback": Rollback,
    "fork_project": ForkProject,
}


def parse(command_type: str, body: Any) -> Body:
    """The typed command of a body that was parsed from JSON, or `FormError` naming the first field at fault.

    null stands for an absent optional field. No other value is changed.
    """
    if command_type not in COMMANDS:
        raise FormError("unknown_command", f"There is no command {command_type!r:.80}.")
    if not isinstance(body, dict):
        raise FormError("invalid_field", "The command's body must be a JSON object.")
    form, command = _form(command_type)
    values = []
    present = 0
    for name, check, default in form:
        if name in body:
            present += 1
        value = body.get(name)
        if value is not None:
            check(value, name)
        elif default is MISSING:
            raise FormError("missing_field", f"{name} is missing.")
        else:
            value = default
        values.append(value)
    if present != len(body):
        unknown = min(set(body) - {name for name, _, _ in form})
        raise FormError("unknown_field", f"{command_type} has no field {unknown!r:.80}.")
    parsed = command(*values)
    _check_together(parsed)
    return parsed


def parse_canonical(command_type: str, body: str) -> Body:
    """The same for a body as it stands in the log: canonical JSON of at most 64 KiB."""
    if len(body if body.isascii() else body.encode()) > limits.COMMAND_BYTES_MAX:
        raise FormError("command_too_large", f"The command has more than {limits.COMMAND_BYTES_MAX} bytes.")
    try:
        return parse(command_type, loads_canonical(body))
    except InvalidJson as error:
        raise FormError(error.code, error.detail) from None


def _check_together(body: Body) -> None:
    """What no field shows alone."""
    if isinstance(body, AmendTask) and (body.title, body.acceptance_criteria, body.depends_on) == (None, None, None):
        raise FormError("missing_field", "amend_task needs a title, acceptance_criteria or depends_on.")
    if isinstance(body, BeginStep) and body.step_type == "non_idempotent" and body.external_key is None:
        raise FormError("missing_field", "external_key is missing: a non_idempotent step has one.")
    if isinstance(body, CompleteStep) and (body.result_ref is None) != (body.result_checksum is None):
        raise FormError("missing_field", "result_ref and result_checksum come together.")


_TOGETHER: dict[str, dict[str, Any]] = {
    "amend_task": {
        "anyOf": [
            {"required": [name], "properties": {name: {"type": kind}}}
            for name, kind in (("title", "string"), ("acceptance_criteria", "array"), ("depends_on", "array"))
        ]
    },
    "begin_step": {
        "if": {"properties": {"step_type": {"const": "non_idempotent"}}},
        "then": {"required": ["external_key"], "properties": {"external_key": {"type": "string"}}},
    },
    "complete_step": {
        "anyOf": [
            {
                "required": ["result_ref", "result_checksum"],
                "properties": {"result_ref": {"type": "string"}, "result_checksum": {"type": "string"}},
            },
            {"properties": {"result_ref": {"type": "null"}, "result_checksum": {"type": "null"}}},
        ]
    },
}
"""The same for readers of the JSON Schema."""


def body_of(command: Body) -> dict[str, Any]:
    """The JSON object of a typed command, without absent fields: `parse` of it gives an equal command."""
    pairs = ((field.name, getattr(command, field.name)) for field in fields(command))
    return {name: value for name, value in pairs if value is not None}


@cache
def field_names(command_type: str) -> frozenset[str]:
    """The fields that a command has; none where there is no such command."""
    return (
        frozenset(field.name for field in fields(COMMANDS[command_type])) if command_type in COMMANDS else frozenset()
    )


def json_schema(command_type: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a command's body."""
    hints = get_type_hints(COMMANDS[command_type], include_extras=True)
    declared = fields(COMMANDS[command_type])
    return {
        "type": "object",
        "description": COMMANDS[command_type].__doc__,
        "properties": {
            field.name: _schema(_rule(hints[field.name]), is_optional=field.default is not MISSING)
            for field in declared
        },
        "required": [field.name for field in declared if field.default is MISSING],
        "additionalProperties": False,
        **_TOGETHER.get(command_type, {}),
    }


def _schema(rule: Field, *, is_optional: bool) -> dict[str, Any]:
    # null stands for an absent optional field. (The other keywords look at values of the rule's own type alone.)
    schema = rule.schema()
    return {**schema, "type": [schema["type"], "null"]} if is_optional else schema


@cache
def _form(command_type: str) -> tuple[tuple[tuple[str, Callable[[Any, str], None], Any], ...], type[Body]]:
    command = COMMANDS[command_type]
    hints = get_type_hints(command, include_extras=True)
    return tuple((field.name, _rule(hints[field.name]).check, field.default) for field in fields(command)), command


def _rule(hint: Any) -> Field:
    if get_origin(hint) is not Annotated:
        raise TypeError(hint)
    rule: Field = get_args(hint)[1]
    return rule
