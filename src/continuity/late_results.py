"""Results that came too late: what a mark tells of them, and what is stored of a workflow, whole or not at all. Pure.

Shared by the projector, which stores them, and by all that read them. See docs/decisions/late-results.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from continuity.contract import LateResultRow
from continuity.core import canonical, ids, limits, seal
from continuity.core.fields import Digest, Field, Id, Integer, Name, Text
from continuity.core.records import Event
from continuity.errors import IntegrityError
from continuity.rows import Head, checked

TABLE: Final = "late_results"

FIELDS: Final[Mapping[str, Field]] = {
    "workflow_id": Id(),
    "command_id": Id(),
    "step_id": Name(limits.STEP_ID_CHARACTERS_MAX),
    "attempt_id": Integer(1, limits.ATTEMPTS_MAX),
    "task_id": Id(),
    "fencing_token": Integer(0, limits.JSON_INTEGER_MAX),
    "result_ref": Text(limits.RESULT_REF_CHARACTERS_MAX),
    "result_checksum": Digest(),
    "operator_id": Text(limits.OPERATOR_CHARACTERS_MAX),
}
NULLABLE: Final = frozenset({"task_id", "fencing_token"})


def told_in(mark: Event) -> tuple[LateResultRow, ...]:
    """What a mark of the sequencer's tells. Raises ValueError, KeyError, TypeError or AttributeError: it is none."""
    if mark["payload"] == "{}":  # as nearly every one
        return ()
    if seal.digest(mark["payload"]) != mark["checksum"]:
        raise seal.Damaged(mark, "payload", "it does not have its checksum")
    payload = canonical.loads_canonical(mark["payload"])
    return tuple(_told(mark, each) for each in payload.get("late_results", ()))


def _told(mark: Event, told: dict[str, Any]) -> LateResultRow:
    for name, field in FIELDS.items():
        if told[name] is not None or name not in NULLABLE:
            field.check(told[name], name)
    if told["workflow_id"] != ids.workflow_id(told["tenant"], told["project"]):
        raise seal.Damaged(mark, "payload", "a late result's workflow_id is not the one of its tenant and project")
    kept = {name: told[name] for name in (*FIELDS, "tenant", "project")}
    return LateResultRow(**kept, refused_at=ids.micros_of(told["timestamp"]))


def whole(head: Head, rows: Iterable[Sequence[Any]]) -> list[LateResultRow]:
    """All rows of a workflow, in the order in which they come, each by its digest, and as many as its head has counted.

    A page or a task's alone would not do: a row that is lost, or that has rotted out of it, is missed by no other.
    Raises IntegrityError, naming the row, or the workflow and the table.
    """
    found = [checked(LateResultRow(*columns[:-1]), columns[-1]) for columns in rows]
    if len(found) != head.late_results:
        raise not_counted(head, len(found))
    return found


def not_counted(head: Head, count: int) -> IntegrityError:
    """There are not as many rows as the head has counted."""
    return IntegrityError(
        f"Table {TABLE} has {count} rows of workflow {head.workflow_id}, and its head has counted {head.late_results}.",
        workflow_id=head.workflow_id,
        field=TABLE,
    )
