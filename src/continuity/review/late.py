"""Late results as the marks in the topic tell them, held against those that are stored. Reads only.

In memory are the keys of all of them: a refusal is not remembered, so a mark may tell again what another has told, and
the first time counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from continuity.contract import LateResultRow, columns_of
from continuity.postgres import BoundedConnection
from continuity.review import expected
from continuity.review_answers import ProblemTold

STORED: Final = f"""
SELECT {columns_of(LateResultRow)}
FROM unnest(%s::uuid[], %s::uuid[]) AS wanted (wanted_id, wanted_command)
JOIN late_results ON workflow_id = wanted_id AND command_id = wanted_command
"""  # noqa: S608 - our own columns
COUNTS: Final = "SELECT workflow_id, count(*) FROM late_results GROUP BY workflow_id"

Key = tuple[str, str]
"""(workflow_id, command_id)."""


class LateResults:
    """One comparison, in one moment of the database: `compared` as the topic is read, then `besides`."""

    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection
        self._told: set[Key] = set()

    def compared(self, told: Iterable[LateResultRow]) -> Iterator[ProblemTold]:
        """What is stored of these in another way, or not at all."""
        new: dict[Key, LateResultRow] = {}
        for row in told:
            if _key(row) not in self._told:
                new.setdefault(_key(row), row)
        if not new:
            return
        self._told |= new.keys()
        stored = {_key(row): row for row in self._stored(list(new))}
        for key, row in new.items():
            if key not in stored:
                yield _problem(row.workflow_id, row.name, f"The row of {row.name} is missing: a mark has told it.")
            elif (field := expected.difference(stored[key], row)) is not None:
                detail = f"The row of {row.name} is not as the mark has told it, in {field}."
                yield _problem(row.workflow_id, f"{row.name}: {field}", detail)

    def besides(self) -> Iterator[ProblemTold]:
        """What is stored and was told by no mark."""
        told = Counter(workflow_id for workflow_id, _ in self._told)
        for workflow_id, count in self._connection.execute(COUNTS.encode()):
            if count > told[workflow_id]:
                detail = f"Table late_results has {count} rows of it, the topic tells of {told[workflow_id]}."
                yield _problem(workflow_id, "late_results", detail)

    def _stored(self, keys: list[Key]) -> Iterator[LateResultRow]:
        wanted: list[Any] = [list(column) for column in zip(*keys, strict=True)]
        for columns in self._connection.execute(STORED.encode(), wanted, prepare=True):
            yield LateResultRow(*columns)


def _key(row: LateResultRow) -> Key:
    return row.workflow_id, row.command_id


def _problem(workflow_id: str, field: str, detail: str) -> ProblemTold:
    return ProblemTold(workflow_id=workflow_id, event_seq=None, field=field, where="rows", detail=detail)
