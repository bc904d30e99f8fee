"""Where each call goes, below `/v1`: paths with their ids in them, queries and bodies. Pure; a test holds it equal to
the API's own table.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from continuity.core.ids import UUID_TEXT

PATHS: dict[str, tuple[str, str]] = {
    "create_goal":       ("POST",   "/goals"),
    "set_goal_status":   ("PUT",    "/goals/{goal_id}/status"),
    "set_goal_priority": ("PUT",    "/goals/{goal_id}/priority"),
    "add_task":          ("POST",   "/tasks"),
    "amend_task":        ("PATCH",  "/tasks/{task_id}"),
    "start_task":        ("POST",   "/tasks/{task_id}/start"),
    "pause_task":        ("POST",   "/tasks/{task_id}/pause"),
    "block_task":        ("POST",   "/tasks/{task_id}/block"),
    "complete_task":     ("POST",   "/tasks/{task_id}/complete"),
    "reopen_task":       ("POST",   "/tasks/{task_id}/reopen"),
    "update_checkpoint": ("PUT",    "/tasks/{task_id}/checkpoint"),
    "acquire_lease":     ("POST",   "/lease"),
    "renew_lease":       ("PUT",    "/lease"),
    "release_lease":     ("DELETE", "/lease"),
    "claim_task":        ("POST",   "/claims"),
    "begin_step":        ("POST",   "/steps/{step_id}/attempts"),
    "complete_step":     ("POST",   "/steps/{step_id}/attempts/{attempt_id}/complete"),
    "fail_step":         ("POST",   "/steps/{step_id}/attempts/{attempt_id}/fail"),
    "rollback":          ("POST",   "/rollback"),
    "fork_project":      ("POST",   "/fork"),
}  # fmt: skip
"""Where a command goes, below its project."""

CLAIM_PATHS: dict[str, tuple[str, str]] = {
    "renew_lease": ("PUT", "/claims/{task_id}"),
    "release_lease": ("DELETE", "/claims/{task_id}"),
}
"""Where it goes when it names a task."""

ANYWHERE = "/v1/claims"


class Call(NamedTuple):
    """A request without its headers."""

    method: str
    path: str
    body: dict[str, Any]


def of_command(project: str, command_type: str, fields: Mapping[str, Any], wait: str | None) -> Call:
    """The call that sends a command; its body has the fields that stand neither in the path nor in the query."""
    body = {name: value for name, value in fields.items() if value is not None}
    if isinstance(body.get("blocker"), str):
        body["blocker"] = {"text": body["blocker"]}
    table = CLAIM_PATHS if command_type in CLAIM_PATHS and "task_id" in body else PATHS
    method, below = table[command_type]
    ids = {name: segment(body.pop(name)) for name in list(body) if f"{{{name}}}" in below}
    query: dict[str, Any] = {}
    if method == "DELETE":
        query, body = {name: str(value).lower() for name, value in body.items() if value}, {}
    if wait is not None:
        query["wait"] = wait
    return Call(method, of_project(project) + below.format_map(ids) + queried(query), body)


def of_project(project: str) -> str:
    """A project's path."""
    return f"/v1/projects/{segment(project)}"


def queried(query: Mapping[str, Any]) -> str:
    """The query with its question mark, or nothing."""
    return f"?{urlencode(query)}" if query else ""


def segment(text: Any) -> str:
    """One segment of a path. An id that is none must not reach another path; the service names what is wrong."""
    if isinstance(text, str) and UUID_TEXT.fullmatch(text):
        return text
    quoted = quote(str(text), safe="") or "-"
    # Dots alone mean a folder to whoever tidies paths up on the way.
    return quoted.replace(".", "%2E") if set(quoted) == {"."} else quoted
