"""The surface of the API as one table: each path, its method, the command or read behind it, and what it answers.

Routes and the OpenAPI document are both made from it, so that neither can say what the other does not. Pure data.
"""

from dataclasses import fields
from functools import cache
from typing import Literal, NamedTuple

from continuity.core.commands import COMMANDS

PROJECT = "/v1/projects/{project}"
GOAL = PROJECT + "/goals/{goal_id}"
TASK = PROJECT + "/tasks/{task_id}"
LEASE = PROJECT + "/lease"
CLAIMS = PROJECT + "/claims"
CLAIM = CLAIMS + "/{task_id}"
ATTEMPTS = PROJECT + "/steps/{step_id}/attempts"
ATTEMPT = ATTEMPTS + "/{attempt_id}"


class Write(NamedTuple):
    """A command with a path of its own. Ids in the path are fields of the command, the body has the others.

    What a DELETE says besides stands in the query: a body of it has no meaning in HTTP. `absent` are fields that this
    path does not take, `name` how the document calls it where the command has a second path.
    """

    command_type: str
    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: str
    absent: tuple[str, ...] = ()
    name: str = ""

    @property
    def operation(self) -> str:
        """Its name in the document."""
        return self.name or self.command_type


class Read(NamedTuple):
    """A question. `parameters` are the query parameters it takes, `answer` the schema of what it gives.

    Of the parameters those that are `required` have to be there.
    """

    name: str
    path: str
    parameters: tuple[str, ...]
    answer: str
    summary: str
    refusals: tuple[str, ...]
    required: tuple[str, ...] = ()


WRITES: tuple[Write, ...] = (
    Write("create_goal",       "POST",  PROJECT + "/goals"),
    Write("set_goal_status",   "PUT",   GOAL + "/status"),
    Write("set_goal_priority", "PUT",   GOAL + "/priority"),
    Write("add_task",          "POST",  PROJECT + "/tasks"),
    Write("amend_task",        "PATCH", TASK),
    Write("start_task",        "POST",  TASK + "/start"),
    Write("pause_task",        "POST",  TASK + "/pause"),
    Write("block_task",        "POST",  TASK + "/block"),
    Write("complete_task",     "POST",  TASK + "/complete"),
    Write("reopen_task",       "POST",  TASK + "/reopen"),
    Write("update_checkpoint", "PUT",   TASK + "/checkpoint"),
    Write("acquire_lease",     "POST",  LEASE),
    Write("renew_lease",       "PUT",   LEASE, absent=("task_id",)),
    Write("release_lease",     "DELETE", LEASE, absent=("task_id",)),
    Write("claim_task",        "POST",  CLAIMS),
    Write("begin_step",        "POST",  ATTEMPTS),
    Write("complete_step",     "POST",  ATTEMPT + "/complete"),
    Write("fail_step",         "POST",  ATTEMPT + "/fail"),
    Write("rollback",          "POST",  PROJECT + "/rollback"),
    Write("fork_project",      "POST",  PROJECT + "/fork"),
)  # fmt: skip
"""The path of each command."""

CLAIM_WRITES: tuple[Write, ...] = (
    Write("renew_lease", "PUT", CLAIM, name="renew_claim"),
    Write("release_lease", "DELETE", CLAIM, name="release_claim"),
)
"""Second paths: a claim is a lease on one task, and is renewed and released as one."""

WRITE_PARAMETERS = ("wait",)
MAKING = frozenset({"goal_created", "task_added", "lease_acquired", "task_claimed", "step_begun", "project_forked"})
"""Events that make something: 201 where the others answer 200."""
MAKERS = frozenset({"create_goal", "add_task", "acquire_lease", "claim_task", "begin_step", "fork_project"})
"""The commands that can."""

READS: tuple[Read, ...] = (
    Read(
        "next_step", PROJECT + "/next-step", ("at_seq", "for_owner", "min_seq"), "NextStep",
        "What to do next in this project: the same state gives the same answer, byte for byte, also as it was at an"
        " earlier event. With `for_owner` the tasks that others have claimed are left out.",
        ("unknown_project", "no_such_seq", "not_yet", "integrity"),
    ),
    Read(
        "state", PROJECT + "/state", ("at_seq", "min_seq"), "ActiveWorkState",
        "The work as it stands, or stood: goals, tasks, checkpoints, the active task and its unresolved blockers.",
        ("unknown_project", "no_such_seq", "not_yet", "integrity"),
    ),
    Read(
        "events", PROJECT + "/events", ("cursor", "limit", "min_seq"), "EventPage",
        "The project's events in their order, a page at a time. `next_cursor` goes on where a page ended, also later.",
        ("unknown_project", "not_yet", "integrity"),
    ),
    Read(
        "late_results", PROJECT + "/late-results", ("task_id", "limit", "min_seq"), "LateResultPage",
        "Results of executors that had lost their lease: refused, kept, and yours to reconcile. Newest first.",
        ("unknown_project", "not_yet"),
    ),
    Read(
        "explain", PROJECT + "/explain", ("at_seq", "for_owner", "min_seq"), "Explanation",
        "Why the next step is, or was, what it is: the rule, the candidates with their ranks, and why others had none.",
        ("unknown_project", "no_such_seq", "not_yet", "integrity"),
    ),
    Read(
        "diff", PROJECT + "/diff", ("from_seq", "to_seq", "min_seq"), "StateDiff",
        "What changed between two events, as a JSON Patch and in words.",
        ("unknown_project", "no_such_seq", "not_yet", "integrity", "missing_field"),
        required=("from_seq",),
    ),
    Read(
        "history", PROJECT + "/history", ("task_id", "after_seq", "limit", "min_seq"), "TaskHistory",
        "What happened to a task: its events, attempts, takeovers and late results, in order, a page at a time.",
        ("unknown_project", "unknown_task", "not_yet", "integrity", "missing_field"),
        required=("task_id",),
    ),
    Read(
        "snapshots", PROJECT + "/snapshots", ("limit", "min_seq"), "SnapshotPage",
        "The newest stored states of the project.",
        ("unknown_project", "not_yet", "integrity"),
    ),
    Read(
        "verify", PROJECT + "/verify", ("min_seq",), "Verdict",
        "The project's journal, rows and snapshots held against one another and the rules: what is wrong, and where.",
        ("unknown_project", "not_yet"),
    ),
    Read(
        "projects", "/v1/projects", ("cursor", "limit"), "ProjectPage",
        "The projects of the key's tenant, by name.",
        (),
    ),
    Read(
        "command", "/v1/commands/{command_id}", ("project", "min_seq"), "CommandOutcome",
        "What became of a command: accepted, refused, or not known here (yet).",
        ("unknown_command_id", "not_yet"),
    ),
)  # fmt: skip

BATCH_PATH = "/v1/commands"
FLEET_PATH = "/v1/claims"
EXPORT_PATH = PROJECT + "/export"
RESULTS_PATH = PROJECT + "/results"
RESULT_PATH = RESULTS_PATH + "/{result_ref}"
SCHEMA_PATH = "/schemas/ids/{schema_id}"
DOCS_PATH = "/docs"
OPENAPI_PATH = "/openapi.json"
HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"


@cache
def query_fields(write: Write) -> tuple[str, ...]:
    """The fields of a command that stand in the query of its path."""
    if write.method != "DELETE":
        return ()
    taken = {*path_names(write.path), *write.absent}
    return tuple(field.name for field in fields(COMMANDS[write.command_type]) if field.name not in taken)


def path_names(path: str) -> tuple[str, ...]:
    """The names that stand in braces in a path, in their order."""
    return tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))
