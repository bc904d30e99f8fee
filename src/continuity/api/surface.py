"""The surface of the API as one table: each path, its method, the command or read behind it, and what it answers.

Routes and the OpenAPI document are both made from it, so that neither can say what the other does not. Pure data.
"""

from typing import Literal, NamedTuple

PROJECT = "/v1/projects/{project}"
GOAL = PROJECT + "/goals/{goal_id}"
TASK = PROJECT + "/tasks/{task_id}"


class Write(NamedTuple):
    """A command with a path of its own. Ids in the path are fields of the command, the body has the others."""

    command_type: str
    method: Literal["POST", "PUT", "PATCH"]
    path: str


class Read(NamedTuple):
    """A question. `parameters` are the query parameters it takes, `answer` the schema of what it gives."""

    name: str
    path: str
    parameters: tuple[str, ...]
    answer: str
    summary: str
    refusals: tuple[str, ...]


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
)  # fmt: skip

WRITE_PARAMETERS = ("wait",)
CREATING = frozenset({"create_goal", "add_task"})
"""Commands that make something: 201 where the others answer 200."""

READS: tuple[Read, ...] = (
    Read(
        "next_step", PROJECT + "/next-step", ("min_seq",), "NextStep",
        "What to do next in this project: the same state gives the same answer, byte for byte.",
        ("unknown_project", "not_yet"),
    ),
    Read(
        "state", PROJECT + "/state", ("min_seq",), "ActiveWorkState",
        "The work as it stands: goals, tasks, checkpoints, the active task and its unresolved blockers.",
        ("unknown_project", "not_yet", "integrity"),
    ),
    Read(
        "events", PROJECT + "/events", ("cursor", "limit", "min_seq"), "EventPage",
        "The project's events in their order, a page at a time. `next_cursor` goes on where a page ended, also later.",
        ("unknown_project", "not_yet", "integrity"),
    ),
    Read(
        "projects", "/v1/projects", ("cursor", "limit"), "ProjectPage",
        "The projects of the key's tenant, by name.",
        (),
    ),
    Read(
        "command", "/v1/commands/{command_id}", (), "CommandOutcome",
        "What became of a command: accepted, refused, or not known here (yet).",
        ("unknown_command_id",),
    ),
)  # fmt: skip

BATCH_PATH = "/v1/commands"
SCHEMA_PATH = "/schemas/ids/{schema_id}"
DOCS_PATH = "/docs"
OPENAPI_PATH = "/openapi.json"
HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"


def path_names(path: str) -> tuple[str, ...]:
    """The names that stand in braces in a path, in their order."""
    return tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))
