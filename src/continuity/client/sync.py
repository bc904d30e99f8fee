"""The synchronous client: `Continuity`. It carries out what `client.wire` decides, and holds the connections."""

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from continuity.answers import (
    ActiveWorkState,
    Blocker,
    CommandOutcome,
    EventDocument,
    NextStep,
    ProjectSummary,
    WriteAnswer,
)
from continuity.client import wire
from continuity.client.access import access
from continuity.client.wire import WriteOptions

T = TypeVar("T")

FOLLOW_SECONDS = 0.5
PAGE = 500
CONNECTIONS_MAX = 64


class Continuity:
    """A project's unfinished work, over HTTP.

    Bound to one project; a project begins with its first goal. `url` and `key` default to CONTINUITY_API_URL and
    CONTINUITY_KEY, else to the stack on this machine. The key decides tenant and operator; `session_id` names this
    run of yours in the events. A call is repeated by itself, with the same `command_id`, while the service is away or
    overloaded, for at most `deadline_seconds`; `connect_seconds` ends it sooner where nobody listens at all. Reads
    show what this object has written. Safe to share among threads.

    Every command raises `InvalidForm` (a field is wrong), `Unauthorized`, `Conflict` (`expected_seq` is not the head),
    `KeyReused`, `Fenced` and `Unavailable` (outcome unknown, repeat with the error's `command_id`), besides what its
    own text names; all are `ContinuityError` with `code`, `detail` and `fix`. It answers a `WriteAnswer`: a dict with
    `command_id`, `status`, `event_seq`, `event_id`, `event_type`, the ids of what it concerns, and `state_checksum`.

    >>> with Continuity("my-project") as work:
    ...     goal = work.create_goal("Release 1.0", priority=10)
    ...     task = work.add_task(goal["goal_id"], "Write the changelog")
    ...     work.start_task(task["task_id"])
    ...     step = work.get_next_step()
    """

    def __init__(
        self,
        project: str,
        url: str | None = None,
        key: str | None = None,
        *,
        session_id: str | None = None,
        deadline_seconds: float = wire.DEADLINE_SECONDS,
        connect_seconds: float | None = None,
    ) -> None:
        found = access(url, key)
        self._wire = wire.Wire(
            project,
            url=found.url,
            session_id=session_id,
            deadline_seconds=deadline_seconds,
            connect_seconds=connect_seconds,
        )
        self._http = httpx.Client(
            base_url=found.url,
            headers={"Authorization": f"Bearer {found.key}"},
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
            trust_env=not found.is_local,
            verify=found.is_secure,  # loading certificates costs 30 ms, and plain HTTP uses none
        )

    @property
    def project(self) -> str:
        """The project that this object is bound to."""
        return self._wire.project

    def create_goal(self, text: str, priority: int = 0, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Create an active goal. `text`: 1-4,000 characters; `priority`: -1,000 to 1,000, a larger one comes first.

        The answer has the new `goal_id`.
        """
        return self._run(self._wire.write("create_goal", {"text": text, "priority": priority}, options))

    def set_goal_status(self, goal_id: str, status: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Make a goal `active`, `paused` or `done`. Raises UnknownGoal, GoalHasOpenTasks."""
        return self._run(self._wire.write("set_goal_status", {"goal_id": goal_id, "status": status}, options))

    def set_goal_priority(self, goal_id: str, priority: int, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Give a goal another priority, -1,000 to 1,000. Raises UnknownGoal."""
        return self._run(self._wire.write("set_goal_priority", {"goal_id": goal_id, "priority": priority}, options))

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
        return self._run(self._wire.write("add_task", fields, options))

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
        return self._run(self._wire.write("amend_task", fields, options))

    def start_task(self, task_id: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Todo or blocked → doing. Raises UnknownTask, IllegalTransition, UnmetDependencies, GoalPaused."""
        return self._run(self._wire.write("start_task", {"task_id": task_id}, options))

    def pause_task(self, task_id: str, reason: str | None = None, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Doing or blocked → todo. `reason`: at most 1,000 characters. Raises UnknownTask, IllegalTransition."""
        return self._run(self._wire.write("pause_task", {"task_id": task_id, "reason": reason}, options))

    def block_task(self, task_id: str, blocker: Blocker | str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Doing → blocked. `blocker`: `{"text": …, "clears_when": …}`, at most 1,000 characters each, or the text.

        Raises UnknownTask, IllegalTransition.
        """
        fields = {"task_id": task_id, "blocker": blocker}
        return self._run(self._wire.write("block_task", fields, options))

    def complete_task(self, task_id: str, evidence: str | None = None, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Doing → done. `evidence`: at most 4,000 characters. Raises UnknownTask, IllegalTransition."""
        return self._run(self._wire.write("complete_task", {"task_id": task_id, "evidence": evidence}, options))

    def reopen_task(self, task_id: str, **options: Unpack[WriteOptions]) -> WriteAnswer:
        """Done → doing. Raises UnknownTask, IllegalTransition, GoalDone."""
        return self._run(self._wire.write("reopen_task", {"task_id": task_id}, options))

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
        return self._run(self._wire.write("update_checkpoint", fields, options))

    def get_next_step(self, project_id: str | None = None) -> NextStep:
        """What to do next, by the rules of the design's section 2: the same state gives the same answer.

        `action` is `continue`, `unblock`, `start` or `propose_tasks`; `next_step` is the latest checkpoint's or None;
        `rank` says which rule chose. `project_id`: another project of the tenant, by name. Raises UnknownProject.
        """
        return self._run(self._wire.next_step(project_id))

    def state(self, project_id: str | None = None) -> ActiveWorkState:
        """The work as it stands: goals, tasks, checkpoints, the active task, blockers. Raises UnknownProject."""
        return self._run(self._wire.state(project_id))

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

    def projects(self) -> Iterator[ProjectSummary]:
        """The projects of the key's tenant, by name."""
        cursor: str | None = None
        while True:
            page = self._run(self._wire.projects(cursor))
            yield from page["projects"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def command_outcome(self, command_id: str) -> CommandOutcome:
        """What became of a command whose answer was lost, or that was sent with `wait="durable"`.

        Raises UnknownCommand while nothing is known of it.
        """
        return self._run(self._wire.outcome(command_id))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: wire.Steps[T]) -> T:
        came: wire.Received | wire.Failed | None = None
        try:
            while True:
                step = steps.send(came)
                if isinstance(step, wire.Pause):
                    time.sleep(step.seconds)
                    came = None
                else:
                    came = self._carry_out(step)
        except StopIteration as end:
            result: T = end.value
            return result

    def _carry_out(self, send: wire.Send) -> wire.Received | wire.Failed:
        try:
            response = self._http.request(
                send.method, send.path, headers=send.headers, content=send.body, timeout=send.timeout_seconds
            )
        except httpx.ConnectError as error:
            return wire.Failed(str(error) or "no connection", connected=False)
        except httpx.RequestError as error:
            return wire.Failed(str(error) or type(error).__name__)
        return wire.Received(response.status_code, response.headers.get("retry-after"), response.content)
