"""The calls of the synchronous client, which its grants have, too: one method for each command, and the questions."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from continuity.answers import (
    ActiveWorkState,
    Blocker,
    EventDocument,
    LateResult,
    NextStep,
    StoredResult,
    WriteAnswer,
)
from continuity.client import wire
from continuity.client.wire import WriteOptions

T = TypeVar("T")

FOLLOW_SECONDS = 0.5
PAGE = 500


class Commands(ABC):
    """One method for each command. What all of them take, answer and raise stands at `Continuity`."""

    @abstractmethod
    def _send(self, command_type: str, fields: Mapping[str, Any], options: WriteOptions) -> WriteAnswer: ...

    def create_goal(self, text: str, priority: int = 0, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Create an active goal. `text`: 1-4,000 characters; `priority`: -1,000 to 1,000, a larger one comes first.

        The answer has the new `goal_id`.
        """
        return self._send("create_goal", {"text": text, "priority": priority}, options)

    def set_goal_status(self, goal_id: str, status: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Make a goal `active`, `paused` or `done`. Raises UnknownGoal, GoalHasOpenTasks."""
        return self._send("set_goal_status", {"goal_id": goal_id, "status": status}, options)

    def set_goal_priority(self, goal_id: str, priority: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Give a goal another priority, -1,000 to 1,000. Raises UnknownGoal."""
        return self._send("set_goal_priority", {"goal_id": goal_id, "priority": priority}, options)

    def add_task(
        self,
        goal_id: str,
        title: str,
        acceptance_criteria: Sequence[str] | None = None,
        *,
        depends_on: Sequence[str] | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """Add a task to a goal, as todo. `title`: one line of 1-500 characters; at most 50 criteria of 1,000 each.

        `depends_on`: ids of at most 100 tasks that must be done before it starts. The answer has the new `task_id`.
        Raises UnknownGoal, GoalDone, UnknownDependency.
        """
        fields = {
            "goal_id": goal_id,
            "title": title,
            "acceptance_criteria": acceptance_criteria,
            "depends_on": depends_on,
        }
        return self._send("add_task", fields, options)

    def amend_task(
        self,
        task_id: str,
        title: str | None = None,
        acceptance_criteria: Sequence[str] | None = None,
        *,
        depends_on: Sequence[str] | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """Replace a task's title, criteria or dependencies: those that are given. Limits as in `add_task`.

        Raises UnknownTask, UnknownDependency, DependencyCycle, IllegalTransition.
        """
        fields = {
            "task_id": task_id,
            "title": title,
            "acceptance_criteria": acceptance_criteria,
            "depends_on": depends_on,
        }
        return self._send("amend_task", fields, options)

    def start_task(self, task_id: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Todo or blocked → doing. Raises UnknownTask, IllegalTransition, UnmetDependencies, GoalPaused."""
        return self._send("start_task", {"task_id": task_id}, options)

    def pause_task(self, task_id: str, reason: str | None = None, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Doing or blocked → todo. `reason`: at most 1,000 characters. Raises UnknownTask, IllegalTransition."""
        return self._send("pause_task", {"task_id": task_id, "reason": reason}, options)

    def block_task(self, task_id: str, blocker: Blocker | str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Doing → blocked. `blocker`: `{"text": …, "clears_when": …}`, at most 1,000 characters each, or the text.

        Raises UnknownTask, IllegalTransition.
        """
        fields = {"task_id": task_id, "blocker": blocker}
        return self._send("block_task", fields, options)

    def complete_task(self, task_id: str, evidence: str | None = None, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Doing → done. `evidence`: at most 4,000 characters. Raises UnknownTask, IllegalTransition."""
        return self._send("complete_task", {"task_id": task_id, "evidence": evidence}, options)

    def reopen_task(self, task_id: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Done → doing. Raises UnknownTask, IllegalTransition, GoalDone."""
        return self._send("reopen_task", {"task_id": task_id}, options)

    def update_checkpoint(
        self,
        task_id: str,
        where_left_off: str,
        next_step: str,
        context_refs: Sequence[str],
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """Say where a task was left, in 1-3 sentences (8,000 characters), and the next single action (a line of 500).

        `context_refs`: at most 50 lines of 500 characters, what the next executor has to look at. Any status but done.
        Raises UnknownTask, IllegalTransition.
        """
        fields = {
            "task_id": task_id,
            "where_left_off": where_left_off,
            "next_step": next_step,
            "context_refs": context_refs,
        }
        return self._send("update_checkpoint", fields, options)

    def acquire_lease(self, owner_id: str, ttl_seconds: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Hold the whole project, alone, for `ttl_seconds` (1 to 86,400). The answer's `lease` has the `token`.

        `lease` is renewed and given back by itself when you use `lease()` instead. Raises LeaseHeld.
        """
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds}
        return self._send("acquire_lease", fields, options)

    def renew_lease(self, task_id: str | None = None, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Push the expiry of the `fencing_token`'s lease, or claim on `task_id`, out by its ttl.

        Raises TokenNeeded.
        """
        return self._send("renew_lease", {"task_id": task_id}, options)

    def release_lease(
        self, task_id: str | None = None, *, force: bool = False, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """End the `fencing_token`'s lease, or claim on `task_id`. `force` ends it whoever holds it, without a token.

        Raises TokenNeeded, NotHeld.
        """
        return self._send("release_lease", {"task_id": task_id, "force": force}, options)

    def claim_task(
        self, owner_id: str, ttl_seconds: int, task_id: str | None = None, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """Hold one task, named or the next that is ready and free, for `ttl_seconds`. A todo task is started by it.

        The answer's `lease` has the `token` and what is taken over; it is None when the task was blocked instead,
        because its executors keep vanishing. `claim()` renews and gives back by itself. Raises NothingToClaim,
        LeaseHeld, UnknownTask, IllegalTransition, UnmetDependencies, GoalPaused.
        """
        fields = {"owner_id": owner_id, "ttl_seconds": ttl_seconds, "task_id": task_id}
        return self._send("claim_task", fields, options)

    def begin_step(
        self,
        step_id: str,
        step_type: str,
        task_id: str | None = None,
        external_key: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """Begin an attempt of a step under the `fencing_token`; the answer's `step` has its `attempt_id`.

        `step_type`: `pure`, `idempotent`, or `non_idempotent`, which needs an `external_key`, the same each time. A
        completed step answers `already_completed` with its result. `step()` of a lease or claim does all of it.
        Raises TokenNeeded, LeaseExpired, StepInProgress, StepConflict.
        """
        fields = {"step_id": step_id, "step_type": step_type, "task_id": task_id, "external_key": external_key}
        return self._send("begin_step", fields, options)

    def complete_step(
        self,
        step_id: str,
        attempt_id: int,
        result_ref: str | None = None,
        result_checksum: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> WriteAnswer:
        """Complete a step by its open attempt, once and for ever. `result_ref`, `result_checksum`: of `store_result`.

        Raises TokenNeeded, UnknownStep, AttemptClosed, StepCompleted.
        """
        fields = {
            "step_id": step_id,
            "attempt_id": attempt_id,
            "result_ref": result_ref,
            "result_checksum": result_checksum,
        }
        return self._send("complete_step", fields, options)

    def fail_step(
        self, step_id: str, attempt_id: int, error: str | None = None, **options: Unpack[WriteOptions]
    ) -> WriteAnswer:
        """Close an attempt that did not succeed (`error`: at most 500 characters); the step can be begun again.

        Raises TokenNeeded, UnknownStep, AttemptClosed, StepCompleted.
        """
        return self._send("fail_step", {"step_id": step_id, "attempt_id": attempt_id, "error": error}, options)

    def rollback(self, to_seq: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Bring goals, tasks and checkpoints back to how they stood after event `to_seq`; history stays.

        Never leases, tokens, steps. It can be rolled back itself. Raises LeaseHeld, TokenNeeded.
        """
        return self._send("rollback", {"to_seq": to_seq}, options)

    def fork_project(self, from_project: str, at_seq: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Begin this project, which must be new, on the state that `from_project` had after event `at_seq`."""
        return self._send("fork_project", {"from_project": from_project, "at_seq": at_seq}, options)


class Questions(ABC):
    """What can be asked about a project."""

    _wire: wire.Wire

    @abstractmethod
    def _run(self, steps: wire.Steps[T]) -> T: ...

    def get_next_step(
        self, project_id: str | None = None, *, for_owner: str | None = None, at_seq: int | None = None
    ) -> NextStep:
        """What to do next, by the rules of the design's section 2: the same state gives the same answer.

        `action` is `continue`, `unblock`, `start` or `propose_tasks`; `next_step` is the latest checkpoint's or None;
        `rank` says which rule chose. `project_id`: another project of the tenant, by name. `for_owner` leaves out the
        tasks that others have claimed. `at_seq`: the answer of then, after that event. Raises UnknownProject.
        """
        return self._run(self._wire.next_step(project_id, for_owner, at_seq))

    def state(self, project_id: str | None = None, *, at_seq: int | None = None) -> ActiveWorkState:
        """The work as it stands: goals, tasks, checkpoints, the active task, blockers. Raises UnknownProject.

        `at_seq`: as it stood after that event, exactly as it was answered then. Raises IntegrityError.
        """
        return self._run(self._wire.state(project_id, at_seq))

    def rehydrate(self, project_id: str | None = None) -> ActiveWorkState:
        """What a new executor needs to go on: the same as `state`, under the model's name."""
        return self.state(project_id)

    def events(self, *, cursor: str | None = None, follow: bool = False) -> Iterator[EventDocument]:
        """The project's events in their order, from the first or from a page's cursor; `follow` waits for more."""
        while True:
            page = self._run(self._wire.events(cursor, PAGE))
            yield from page["events"]
            cursor = page["next_cursor"]
            if not page["has_more"]:
                if not follow:
                    return
                time.sleep(FOLLOW_SECONDS)

    def late_results(self, task_id: str | None = None) -> list[LateResult]:
        """Results that came when their sender was fenced already, of one task or of all: refused, kept, newest first.

        Nothing has been done with them: reconcile them with what the step has become. Raises UnknownProject.
        """
        return self._run(self._wire.late_results(task_id))["late_results"]

    def store_result(self, content: bytes, media: str = "application/octet-stream") -> StoredResult:
        """Keep what a step resulted in, up to 8 MiB; the reference and checksum go into `complete_step`."""
        return self._run(self._wire.store_result(content, media))

    def result(self, result_ref: str, result_checksum: str | None = None) -> bytes:
        """What was stored under a reference, verified. Raises NotFound, IntegrityError."""
        return self._run(self._wire.result(result_ref, result_checksum))[0]
