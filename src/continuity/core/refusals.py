"""Every code with which a command or a read can be refused, its HTTP status and what to do about it. Pure, a table.

`detail` is written where the refusal is decided, because only there the thing has a name.
"""

from typing import NamedTuple


class Refusal(NamedTuple):
    """How a code looks from outside."""

    http_status: int
    fix: str


REFUSALS: dict[str, Refusal] = {
    # Form: the command was not understood, and nothing was looked up.
    "unknown_command": Refusal(422, "Use one of the command types of the documentation."),
    "missing_field": Refusal(422, "Add the field."),
    "unknown_field": Refusal(422, "Remove the field, or correct its name."),
    "invalid_field": Refusal(422, "Correct the field to the shape that the detail names."),
    "json_syntax": Refusal(422, "Send one JSON object in UTF-8."),
    "json_float": Refusal(422, "Use integers below 2**53, or a string."),
    "json_duplicate_key": Refusal(422, "Send each key once."),
    "json_number_range": Refusal(422, "Use integers below 2**53, or a string."),
    "json_string": Refusal(422, "Remove U+0000 and lone surrogates."),
    "json_depth": Refusal(422, "Nest at most 32 levels."),
    "command_too_large": Refusal(413, "Keep a command within 64 KiB: store the text elsewhere and send a reference."),
    "poison": Refusal(422, "Write commands with the published Avro schema and framing."),
    "wrong_partition": Refusal(422, "Key commands by workflow_id with the murmur2 partitioner."),
    # Idempotency and conditions.
    "idempotency_key_reused": Refusal(409, "Use a new command_id for another command."),
    "predecessor_missing": Refusal(409, "Send the predecessor again, then this command."),
    "expected_seq_mismatch": Refusal(412, "Read the state again, decide again, and send the seq that you saw."),
    # Fences.
    "fenced": Refusal(409, "Stop: another executor may own this work. Read the state, then acquire again."),
    "token_needed": Refusal(428, "Acquire the lease or claim the task, and send its fencing token (`--token`)."),
    "lease_held": Refusal(423, "Wait until it is released or has run out, or claim another task."),
    "lease_expired": Refusal(409, "Acquire or claim again: beginning a step needs a grant that has not run out."),
    "not_held": Refusal(409, "There is nothing to release."),
    "nothing_to_claim": Refusal(409, "Try again when a task was added, completed, released or has run out."),
    # Rules.
    "unknown_goal": Refusal(404, "Check the goal_id: list the goals of this project."),
    "unknown_task": Refusal(404, "Check the task_id: list the tasks of this project."),
    "unknown_dependency": Refusal(409, "Depend on tasks of this project; add them first."),
    "dependency_cycle": Refusal(409, "Remove one of the dependencies in the circle."),
    "unmet_dependencies": Refusal(409, "Complete the tasks that this one depends on first."),
    "illegal_transition": Refusal(409, "Read the task's status: only the transitions of the documentation exist."),
    "goal_paused": Refusal(409, "Set the goal active first."),
    "goal_done": Refusal(409, "Set the goal active first, or use another goal."),
    "goal_has_open_tasks": Refusal(409, "Complete the goal's open tasks first."),
    "too_many_goals": Refusal(409, "Use another project: one holds at most 1,000 goals."),
    "too_many_tasks": Refusal(409, "Use another project: one holds at most 10,000 tasks."),
    "no_such_seq": Refusal(409, "Use the number of an event before the head: read the events of the project."),
    "project_exists": Refusal(409, "Fork into a project that has no events yet."),
    "too_many_steps": Refusal(409, "Use another project: one holds at most 20,000 steps."),
    "too_many_attempts": Refusal(409, "Find out why the step fails: it has had 100 attempts."),
    "unknown_step": Refusal(404, "Begin the step first."),
    "unknown_attempt": Refusal(404, "Use the attempt_id that begin_step answered."),
    "step_conflict": Refusal(409, "Use another step_id: names are the whole project's, so put the task's id into it."),
    "step_in_progress": Refusal(409, "Complete or fail the open attempt first."),
    "attempt_closed": Refusal(409, "Begin another attempt."),
    "step_completed": Refusal(409, "Use the stored result; what came too late is kept among the task's late results."),
    "state_too_large": Refusal(409, "Use another project: the state of one is at most 16 MiB."),
    "delta_too_large": Refusal(409, "Do it in smaller parts: a change has at most 512 KiB."),
    "workflow_stopped": Refusal(409, "Its log is damaged: an operator has to look at it (`continuity status`)."),
    # Reads, access and outages.
    "unauthorized": Refusal(401, "Send `Authorization: Bearer KEY` with a valid key."),
    "unknown_project": Refusal(404, "Check the name: a project begins with its first goal."),
    "unknown_command_id": Refusal(404, "Check the id; outcomes of refused commands are kept for seven days."),
    "not_found": Refusal(404, "Check the path."),
    "method_not_allowed": Refusal(405, "Use a method that the path allows."),
    "integrity": Refusal(500, "The stored record is damaged and is not served: run `continuity rebuild`."),
    "not_yet": Refusal(503, "The projection is behind: repeat the read."),
    "unavailable": Refusal(503, "The outcome is unknown: repeat with the same command_id."),
    "overloaded": Refusal(503, "Repeat after the time in Retry-After."),
    "internal": Refusal(500, "Repeat with the same command_id; if it stays, look at the log of this service."),
}
