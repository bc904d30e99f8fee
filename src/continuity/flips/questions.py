"""All that is answered from the tables and the blobs, asked of one connection: in the middle of its transaction.

The product's own readers are asked, as the roles that they work as; only where they would open a connection of their
own, which sees nothing of a transaction that is to be rolled back, they are given this one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, NamedTuple, Self, TypeVar

from continuity import postgres, restoring, roles
from continuity.api.assignments import CANDIDATES_MAX
from continuity.api.reading import event_document
from continuity.api.reads import Reads
from continuity.api.reads import _statement as statement
from continuity.blobs import Folder
from continuity.config import Settings
from continuity.core.next_step import next_step
from continuity.core.state import State
from continuity.errors import IntegrityError
from continuity.flips.damages import BLOBS, RESULTS, Place
from continuity.flips.subject import OWNERS, TENANT, Subject
from continuity.postgres import BoundedConnection
from continuity.processors import Store
from continuity.review import Past, journal
from continuity.review.checking import Workflow
from continuity.review_answers import ProblemTold

T = TypeVar("T")
PAGE: Final = 1_000
NEXT: Final = frozenset({"workflows", "tasks", "checkpoints", "task_dependencies"})
WHOLE: Final = NEXT | {"goals", "entities"}
JOURNAL: Final = frozenset({"workflows", "events"})
RESTORED: Final = JOURNAL | {"snapshots", BLOBS}
TOLD: Final = frozenset({"workflow_leases", "task_claims", "step_attempts", "completed_steps"})
"""The published tables tell in columns what the state knows: if an answer is made of one of them, it is seen here."""


class Answer(NamedTuple):
    """What was answered, as a value to compare, and the damage that it was found in spite of."""

    value: Any
    healed: tuple[str, ...] = ()


class Question(NamedTuple):
    """`ask(place, seq)`; the answer does not depend on both of them everywhere.

    `truth` is what the core says, where there is something to compare with besides the answer before. What a hint says
    is checked by whoever follows it. Of a list, an entry that is missing is told apart from another answer.
    """

    name: str
    tables: frozenset[str]
    ask: Callable[[Place, int], Answer]
    truth: Callable[[int], Any] | None = None
    is_hint: bool = False
    is_list: bool = False


class Questions:
    """About one subject. Use it as a context manager."""

    def __init__(self, connection: BoundedConnection, settings: Settings, blobs: Folder, subject: Subject) -> None:
        self._connection = connection
        self._blobs = blobs
        self._subject = subject
        self._runner = asyncio.Runner()
        self._reads = self._runner.run(_made(settings, connection))
        self._store = _Store(settings.postgres_dsn, blobs)
        self._store.given = connection
        self._past = _Past(settings)
        self._past.given = connection
        self.all: Final = tuple(self._questions())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def _questions(self) -> Iterator[Question]:
        reads, past, project = self._reads, self._past, self._subject.project
        states, head = self._subject.states, self._subject.states[-1]
        events = [event_document(event) for event in self._subject.events]
        tasks = sorted(head.tasks)
        yield self._read("next step", NEXT, partial(reads.next_step, TENANT, project), lambda _: next_step(head))
        for owner in OWNERS[:2]:
            ask = partial(reads.next_step, TENANT, project, for_owner=owner)
            yield self._read(f"next step for {owner}", WHOLE, ask, partial(_next_for, head, owner))
        yield self._read("state", WHOLE | TOLD, partial(reads.state, TENANT, project))
        yield self._read("events", JOURNAL, self._journal, lambda _: events)
        late = partial(reads.late_results, TENANT, project, limit=PAGE)
        yield self._read("late results", {"workflows", "late_results"}, late, is_list=True)
        of_task = partial(reads.late_results, TENANT, project, task_id=self._subject.late_task, limit=PAGE)
        yield self._read("late results of a task", {"workflows", "late_results"}, of_task, is_list=True)
        yield self._read("head", {"workflows"}, partial(reads.head_seq, TENANT, project))
        listed = partial(reads.projects, TENANT, after="", limit=PAGE)
        yield self._read("projects", JOURNAL, listed, is_list=True)
        yield Question("restore", RESTORED, self._restore, lambda seq: states[seq])
        yield Question("restore at the head", RESTORED, self._restore_head, lambda _: head)
        yield Question("the sequencer's look", RESTORED, self._fetch, lambda _: head)
        yield Question("state at", JOURNAL, lambda _, seq: self._tenant(lambda: past.state(TENANT, project, seq)))
        told = partial(self._history, tasks)
        yield Question("history", JOURNAL | TOLD | {"late_results"}, lambda _, seq: self._tenant(lambda: told(seq)))
        yield Question("candidates", WHOLE | TOLD, self._candidates, is_hint=True)
        yield Question("result", frozenset({RESULTS}), lambda place, _: Answer(self._blobs.get(place.row)))

    def _history(self, tasks: list[str], seq: int) -> Any:
        return self._past.history(TENANT, self._subject.project, tasks[seq % len(tasks)])

    async def _journal(self) -> list[Any] | None:
        events = await self._reads.events(TENANT, self._subject.project, after_seq=0, limit=PAGE)
        return None if events is None else [event_document(event) for event in events]

    def problems(self, table: str) -> Iterator[str]:
        """What an examination of what is stored of the project finds, as far as it has to do with a table."""
        with as_role(self._connection, roles.READER):
            if table in ("snapshots", BLOBS):
                yield from (damage.detail for damage in restoring.examined(self._connection, self._blobs))
                return
            row = journal.row_of(self._connection, self._subject.workflow_id, TENANT)
            assert row is not None, "Of a head that is gone, the answers tell."
            check = _Rows(self._connection, self._blobs, row)
            check.known = self._subject.states[-1]
            yield from (problem["detail"] for problem in check.problems())

    def _read(
        self,
        name: str,
        tables: Collection[str],
        ask: Callable[[], Coroutine[Any, Any, Any]],
        truth: Callable[[int], Any] | None = None,
        *,
        is_list: bool = False,
    ) -> Question:
        answered = lambda *_: self._tenant(lambda: self._runner.run(ask()))  # noqa: E731
        return Question(name, frozenset(tables), answered, truth, is_list=is_list)

    def _tenant(self, ask: Callable[[], Any]) -> Answer:
        with as_role(self._connection, roles.TENANT):
            return Answer(ask())

    def _restore(self, _: Place, seq: int) -> Answer:
        return self._restored(seq)

    def _restore_head(self, _: Place, __: int) -> Answer:
        return self._restored(None)

    def _restored(self, seq: int | None) -> Answer:
        with as_role(self._connection, roles.READER):
            found = restoring.restore(self._connection, self._blobs, self._subject.workflow_id, seq)
        return Answer(found.state, found.healed)

    def _fetch(self, _: Place, __: int) -> Answer:
        workflow_id = self._subject.workflow_id
        with as_role(self._connection, roles.READER):
            fetched = self._store.fetch(0, [workflow_id])
        reason = {**fetched.unavailable, **fetched.stopped}.get(workflow_id)
        if reason is not None:
            raise IntegrityError(reason, workflow_id=workflow_id, field="state")
        state: State = fetched.states[workflow_id]
        return Answer(state)

    def _candidates(self, _: Place, __: int) -> Answer:
        with as_role(self._connection, roles.INTAKE):
            self._connection.execute(roles.SET_TENANT.encode(), (TENANT,))
            found = self._connection.execute(statement("candidates").encode(), (TENANT, CANDIDATES_MAX)).fetchall()
        return Answer(found)


@contextmanager
def as_role(connection: BoundedConnection, role: str) -> Iterator[None]:
    """Work as a role for as long as the block runs; what it set is undone with the savepoint."""
    with connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL ROLE {role}".encode())
        yield


def _next_for(state: State, owner: str, _: int) -> Any:
    return next_step(state, owner)


class _Rows(Workflow):
    """The check of a project's rows, without its journal and snapshots: what these fold to is known."""

    known: State

    def _folded(self) -> tuple[State, None]:
        return self.known, None

    def _of_snapshots(self, state: State) -> Iterator[ProblemTold]:  # noqa: ARG002 - nothing is asked of it
        return iter(())


class _Store(Store):
    """On a connection that it is given."""

    given: BoundedConnection

    def _asked(self, question: Callable[[BoundedConnection], T]) -> T:
        return question(self.given)


class _Past(Past):
    """On a connection that it is given."""

    given: BoundedConnection

    @contextmanager
    def _connected(self, workflow_id: str, tenant: str) -> Iterator[BoundedConnection]:
        with postgres.translated(workflow_id):
            self.given.execute(roles.SET_TENANT.encode(), (tenant,))
            yield self.given


class _Reads(Reads):
    """On a connection that it is given."""

    given: "_Awaited"

    async def _asked(self, look: Callable[[Any], Awaitable[T]], workflow_id: str | None = None) -> T:
        with postgres.translated(workflow_id):
            return await look(self.given)


async def _made(settings: Settings, connection: BoundedConnection) -> _Reads:
    reads = _Reads(settings)
    reads.given = _Awaited(connection)
    return reads


class _Awaited:
    """A connection as the reads of the API know it: of everything that has to be awaited, nothing waits."""

    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection

    async def execute(self, query: Any, parameters: Any = None) -> "_Fetched":
        return _Fetched(self._connection.execute(query, parameters).fetchall())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        with self._connection.transaction():
            yield

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[None]:
        yield


class _Fetched:
    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    async def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    async def fetchall(self) -> list[Any]:
        return self._rows
