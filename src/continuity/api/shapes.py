"""The answer types as JSON Schemas, for the OpenAPI document. Pure."""

from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from continuity import answers, review_answers
from continuity.core import records

SHAPES = (
    answers.WriteAnswer, answers.CommandOutcome, answers.BatchAnswer, answers.ActiveWorkState, answers.EventPage,
    answers.EventDocument, answers.ProjectPage, answers.ProjectSummary, answers.ProblemDocument, answers.NextStep,
    answers.Goal, answers.Task, answers.Checkpoint, answers.Blocker, answers.Lease, answers.Handover,
    answers.Predecessor, answers.OpenAttempt, answers.LateResult, answers.LateResultPage, answers.StepAnswer,
    answers.Attempt, answers.StoredResult, review_answers.Explanation, review_answers.RuleExplained,
    review_answers.Candidate, review_answers.PassedOver, review_answers.StateDiff, review_answers.TaskHistory,
    review_answers.HistoryEntry, records.Step, review_answers.SnapshotPage,
    review_answers.SnapshotTold, review_answers.Verdict, review_answers.ProblemTold,
)  # fmt: skip
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"}, int: {"type": "integer"}, bool: {"type": "boolean"}, type(None): {"type": "null"}, Any: {},
}  # fmt: skip


def ref(name: str) -> dict[str, str]:
    """A reference to the type of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def shape(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        "type": "object",
        "description": kind.__doc__,
        "properties": {name: _schema(hint) for name, hint in hints.items()},
        "required": [name for name, hint in hints.items() if get_origin(hint) is not NotRequired],
    }


def _schema(hint: Any) -> dict[str, Any]:
    if hint in _PLAIN:
        return _PLAIN[hint]
    if is_typeddict(hint):
        return ref(hint.__name__) if hint in SHAPES else shape(hint)
    return _GENERIC[get_origin(hint)](get_args(hint))


def _any_of(arguments: tuple[Any, ...]) -> dict[str, Any]:
    return {"anyOf": [_schema(argument) for argument in arguments]}


_GENERIC: dict[Any, Callable[[tuple[Any, ...]], dict[str, Any]]] = {
    NotRequired: lambda arguments: _schema(arguments[0]),
    Literal: lambda arguments: {"enum": list(arguments)},
    list: lambda arguments: {"type": "array", "items": _schema(arguments[0])},
    dict: lambda _: {"type": "object"},
    Union: _any_of,
    UnionType: _any_of,
}
