"""Rows and keys as parameters of statements. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from continuity.contract import INSTANTS, AttemptRow, ClaimRow, CompletionRow, LateResultRow, LeaseRow
from continuity.core.ids import instant
from continuity.postgres import array
from continuity.rows import Head

TIMES: Final[Mapping[type, frozenset[str]]] = {
    Head: frozenset({"head_timestamp"}),
    **{
        kind: INSTANTS.intersection(kind._fields)
        for kind in (LeaseRow, ClaimRow, AttemptRow, CompletionRow, LateResultRow)
    },
}
"""Of each kind of row the columns that are times: numbers in a row, and text on their way to Postgres."""


def as_json(rows: Iterable[Any]) -> str:
    """Rows with their digests, as the statements that write them take them."""
    return orjson.dumps([_written(row) for row in rows]).decode()


def _written(row: Any) -> dict[str, Any]:
    document = dict(zip(row._fields, row, strict=True))
    document["digest"] = "\\x" + row.digest().hex()
    for name in TIMES.get(type(row), ()):
        if document[name] is not None:
            document[name] = instant(document[name])
    return document


def arrays(keys: Iterable[tuple[str, ...]]) -> list[str]:
    """Keys of several columns, one parameter for each column."""
    return [array(column) for column in zip(*keys, strict=True)]
