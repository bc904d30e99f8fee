"""What the SDK raises. Each error has `code` (stable, for programs), `detail` (what happened to which thing), `fix`.

`Refused` and its subclasses: the answer is no, and the same call gives the same answer until something else changes.
`Unavailable`: the outcome is unknown; the SDK has repeated the call already, with the same `command_id`, until its
deadline. `IntegrityError`: a stored record is damaged, and nothing is served from it.
"""

from collections.abc import Mapping
from typing import Any

from continuity import errors
from continuity.errors import ContinuityError, IntegrityError, Retryable

__all__ = [
    "AttemptClosed", "Conflict", "ContinuityError", "DependencyCycle", "Fenced", "GoalDone", "GoalHasOpenTasks",
    "GoalPaused", "IllegalTransition", "IntegrityError", "InvalidForm", "KeyReused", "LeaseExpired", "LeaseHeld",
    "LeaseLost", "NoSuchSeq", "NotFound", "NotHeld", "NothingToClaim", "Refused", "Retryable", "StepCompleted",
    "StepConflict", "StepInProgress", "TaskBlocked", "TokenNeeded", "Unauthorized", "Unavailable", "UnknownCommand",
    "UnknownDependency", "UnknownGoal", "UnknownProject", "UnknownStep", "UnknownTask", "UnmetDependencies",
]  # fmt: skip


class Refused(ContinuityError):
    """The service said no. `status` is the HTTP status, `command_id` that of the refused command."""

    code = "refused"

    def __init__(
        self, detail: str, *, fix: str = "", code: str | None = None, status: int = 0, command_id: str | None = None
    ) -> None:
        super().__init__(detail, fix=fix, code=code)
        self.status = status
        self.command_id = command_id


class InvalidForm(Refused):
    """The request was not understood; `detail` names the field at fault, `fix` the shape it needs."""


class Unauthorized(Refused):
    """There is no key, or the service does not know it."""


class NotFound(Refused):
    """The thing is not there, or it belongs to another tenant, which looks the same."""


class NoSuchSeq(Refused):
    """The project has no event of that number (yet)."""


class UnknownProject(NotFound):
    """There is no such project: one begins with its first goal."""


class UnknownGoal(NotFound):
    """There is no such goal in this project."""


class UnknownTask(NotFound):
    """There is no such task in this project."""


class UnknownCommand(NotFound):
    """No outcome is known for that command id, here or yet."""


class IllegalTransition(Refused):
    """The task's status does not allow it. Read the state, then choose a transition that exists."""


class UnknownDependency(Refused):
    """A task that is to be depended on does not exist in this project."""


class UnmetDependencies(Refused):
    """Tasks that this one depends on are not done."""


class DependencyCycle(Refused):
    """The task would depend on itself through others."""


class GoalPaused(Refused):
    """The goal is paused: set it active first."""


class GoalDone(Refused):
    """The goal is done: set it active first, or use another."""


class GoalHasOpenTasks(Refused):
    """A goal becomes done only without open tasks."""


class KeyReused(Refused):
    """That `command_id` was used for another command before."""


class Conflict(Refused):
    """`expected_seq` is not the head any more: somebody else changed the project. Read, decide again, send again."""


class LeaseHeld(Refused):
    """Another executor holds the project, or the task; `detail` says who and until when."""


class Fenced(Refused, errors.Fenced):
    """The fencing token is stale: stop, somebody newer may own this work."""

    code = "fenced"


class LeaseLost(Fenced):
    """The lease or claim that this work was done under is gone: stop, and let whoever has it go on."""

    code = "lease_lost"


class LeaseExpired(Refused):
    """A step needs a lease or claim that has not run out: renew it, or acquire again."""


class TokenNeeded(Refused):
    """The work is held: it needs the token of a lease or claim."""


class NotHeld(Refused):
    """There is nothing to release."""


class NothingToClaim(Refused):
    """No task is ready that nobody holds: try again when something was added, completed or released."""


class TaskBlocked(Refused):
    """The claim found that executors keep failing at the task, and blocked it instead of handing it out again."""

    code = "executors_keep_failing"


class StepInProgress(Refused):
    """An attempt of this step is open under the same token: complete or fail it first."""


class StepConflict(Refused):
    """The step was begun before with another type, task or external key."""


class StepCompleted(Refused):
    """The step is completed already: its stored result counts."""


class AttemptClosed(Refused):
    """The attempt has failed: begin another one."""


class UnknownStep(NotFound):
    """There is no such step, or no such attempt of it."""


class Unavailable(Retryable):
    """No outcome within the deadline: repeat with the same `command_id`, which is in the error."""

    def __init__(
        self,
        detail: str,
        *,
        fix: str = "",
        code: str | None = None,
        command_id: str | None = None,
        retry_after_seconds: float = 1.0,
    ) -> None:
        super().__init__(detail, fix=fix, code=code, retry_after_seconds=retry_after_seconds)
        self.command_id = command_id


_BY_CODE: dict[str, type[Refused]] = {
    "unknown_project": UnknownProject,
    "no_such_seq": NoSuchSeq,
    "unknown_goal": UnknownGoal,
    "unknown_task": UnknownTask,
    "unknown_command_id": UnknownCommand,
    "illegal_transition": IllegalTransition,
    "unknown_dependency": UnknownDependency,
    "unmet_dependencies": UnmetDependencies,
    "dependency_cycle": DependencyCycle,
    "goal_paused": GoalPaused,
    "goal_done": GoalDone,
    "goal_has_open_tasks": GoalHasOpenTasks,
    "idempotency_key_reused": KeyReused,
    "fenced": Fenced,
    "lease_held": LeaseHeld,
    "lease_expired": LeaseExpired,
    "token_needed": TokenNeeded,
    "not_held": NotHeld,
    "nothing_to_claim": NothingToClaim,
    "step_in_progress": StepInProgress,
    "step_conflict": StepConflict,
    "step_completed": StepCompleted,
    "attempt_closed": AttemptClosed,
    "unknown_step": UnknownStep,
    "unknown_attempt": UnknownStep,
}
_BY_STATUS: dict[int, type[Refused]] = {
    401: Unauthorized, 404: NotFound, 412: Conflict, 413: InvalidForm, 422: InvalidForm, 423: LeaseHeld,
    428: TokenNeeded,
}  # fmt: skip
_SERVER_ERROR = 500


def of_problem(status: int, problem: Mapping[str, Any]) -> ContinuityError:
    """The exception that a problem answer means."""
    code, detail, fix = (str(problem.get(name, "")) for name in ("code", "detail", "fix"))
    command_id = problem.get("command_id")
    if code == "integrity":
        workflow, seq, field = (problem.get(name) for name in ("workflow_id", "event_seq", "field"))
        return IntegrityError(detail, workflow_id=workflow or "", event_seq=seq, field=field, fix=fix)
    if status >= _SERVER_ERROR:
        return Unavailable(
            detail or f"The service answered {status}.", fix=fix, code=code or None, command_id=command_id
        )
    refused = _BY_CODE.get(code) or _BY_STATUS.get(status, Refused)
    return refused(
        detail or f"The service answered {status}.", fix=fix, code=code, status=status, command_id=command_id
    )
