"""Deltas: what an event changed, as an RFC 6902 patch of the work state. Pure.

A delta is made from the entities that a command touched, never by comparing two states (a comparison of 10 KB costs
about a millisecond). It adds or removes whole entities (`/tasks/ID`) and sets single fields (`/tasks/ID/status`), so
any JSON Patch library applies it; ids and field names contain neither `/` nor `~`, so nothing needs escaping.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from continuity.core.records import Change
from continuity.core.state import COLLECTIONS, TOKEN_COUNTER, State

Operation = dict[str, Any]

OPERATIONS = frozenset({"add", "replace", "remove"})


class DeltaMismatch(ValueError):
    """The patch names something that the state does not have: it belongs to another state."""


def of_changes(state: State, changes: Iterable[Change]) -> list[Operation]:
    """The patch from `state` to the state with `changes`."""
    operations: list[Operation] = []
    for collection, key, document in changes:
        if collection == TOKEN_COUNTER:
            operations.append({"op": "replace", "path": f"/{TOKEN_COUNTER}", "value": document})
            continue
        before = getattr(state, collection).get(key)
        path = f"/{collection}/{key}"
        if before is None and document is not None:
            operations.append({"op": "add", "path": path, "value": document})
        elif document is None:
            operations.append({"op": "remove", "path": path})
        elif isinstance(document, int):
            operations.append({"op": "replace", "path": path, "value": document})
        else:
            operations += _of_documents(path, before, document)
    return operations


def compute_delta(old: State, new: State) -> list[Operation]:
    """The patch between two states of one workflow, by comparing all of them: for tools, not for the hot path."""
    changes = []
    for collection in COLLECTIONS:
        before, after = getattr(old, collection), getattr(new, collection)
        changes += [Change(collection, key, None) for key in sorted(set(before) - set(after))]
        changes += [Change(collection, key, after[key]) for key in sorted(after) if before.get(key) != after[key]]
    if old.token_counter != new.token_counter:
        changes.append(Change(TOKEN_COUNTER, "", new.token_counter))
    return of_changes(old, changes)


def apply_delta(state: State, operations: Iterable[Operation]) -> State:
    """The state after the patch, whose head stays as it was (`State.with_head`)."""
    documents: dict[tuple[str, str], Any] = {}
    for operation in operations:
        if operation["path"] == f"/{TOKEN_COUNTER}":
            documents[TOKEN_COUNTER, ""] = counter_after(operation)
            continue
        _, collection, key, *field = operation["path"].split("/")
        entity = (collection, key)
        if entity not in documents:
            documents[entity] = getattr(state, collection).get(key)
        documents[entity] = patched(documents[entity], operation, field)
    return state.with_changes(Change(cast("Any", name), key, new) for (name, key), new in documents.items())


def counter_after(operation: Operation) -> int:
    """The token counter after an operation on it."""
    value = operation["value"]
    if operation["op"] != "replace" or type(value) is not int:
        raise DeltaMismatch(f"{operation['op']} {operation['path']} with {value!r:.40} does not fit the state.")
    return value


def patched(document: Any, operation: Operation, field: list[str]) -> Any:
    """One entity after one operation; `field` is the rest of its path, at most one name."""
    op = operation["op"]
    if op not in OPERATIONS:
        raise DeltaMismatch(f"{op!r:.40} is no operation of a delta.")
    if not field:
        if (document is None) == (op != "add"):
            raise DeltaMismatch(f"{op} {operation['path']} does not fit the state.")
        return None if op == "remove" else operation["value"]
    (name,) = field
    if document is None or (name in document) == (op == "add"):
        raise DeltaMismatch(f"{op} {operation['path']} does not fit the state.")
    if op == "remove":
        return {key: value for key, value in document.items() if key != name}
    return {**document, name: operation["value"]}


def _of_documents(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Operation]:
    # By name: a document that was restored has its fields in another order than one that was just decided, and the same
    # state has to give the same event, byte for byte.
    operations: list[Operation] = []
    for name in sorted(after):
        value = after[name]
        if name not in before:
            operations.append({"op": "add", "path": f"{path}/{name}", "value": value})
        elif before[name] != value:
            operations.append({"op": "replace", "path": f"{path}/{name}", "value": value})
    operations += [{"op": "remove", "path": f"{path}/{name}"} for name in sorted(before) if name not in after]
    return operations
