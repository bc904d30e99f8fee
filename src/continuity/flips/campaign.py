"""Does damage of stored data ever become an answer? Random damage, one at a time, and what is answered in spite of it.

Each is done in a transaction that is rolled back; blobs are put back. Everything that is answered from what was damaged
has to be what it was before, or an IntegrityError that names the damage.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from random import Random
from typing import Any, Final, Literal, NamedTuple, Self

from psycopg import errors

from continuity.blobs import Folder
from continuity.config import Settings
from continuity.errors import IntegrityError
from continuity.flips.damages import BLOBS, RESULTS, Damage, Damages
from continuity.flips.questions import Question, Questions
from continuity.flips.subject import Subject
from continuity.flips.values import Impossible, flipped_file, missing_file
from continuity.postgres import BoundedConnection

Verdict = Literal[
    "named", "healed", "found", "hint", "unread", "refused", "served", "omitted", "unnoticed", "nameless", "failed"
]
VERDICTS: Final[Mapping[Verdict, str]] = {
    "named": "an IntegrityError that names it",
    "healed": "the right answer, and the damage is reported",
    "found": "no answer depends on it, and an examination finds it",
    "hint": "another hint, which the sequencer decides about",
    "unread": "nothing answers from it",
    "refused": "the database would not have it: not counted",
    "served": "ANOTHER ANSWER",
    "omitted": "A LIST WITHOUT THE ENTRY",
    "unnoticed": "NOT NOTICED, though something is answered from it",
    "nameless": "AN ERROR THAT NAMES NOTHING",
    "failed": "ANOTHER ERROR",
}
BAD: Final = frozenset({"served", "omitted", "unnoticed", "nameless", "failed"})
CONTROL_EVERY: Final = 10
BLOB_TABLES: Final = frozenset({BLOBS, RESULTS})

UNREAD: Final[Mapping[str, frozenset[str]]] = {
    # Where a record stood in the log. The topic is what they are compared with (`verify --all`).
    "events": frozenset({
        "epoch", "sequencer_id", "epoch_seq", "source_generation", "source_offset", "log_partition", "log_offset",
    }),
    # A snapshot that is lost is like one that was pruned: more of the journal is read.
    "snapshots": frozenset({""}),
    # The row of a lease that has ended: its token lives on in the head, and candidates are hints.
    "workflow_leases": frozenset({"", "workflow_id"}),
    # By these the projector finds whose dependencies are done. It does not write a next step that is not the core's.
    "task_dependencies": frozenset({"", "workflow_id", "depends_on", "task_id"}),
}  # fmt: skip
"""Columns that no answer is made of; an empty name is the row itself."""


class Outcome(NamedTuple):
    """What came of a damage, and what was said, by which question."""

    damage: Damage
    verdict: Verdict
    detail: str = ""


class Campaign:
    """Against one subject. `connection` is in no transaction, owns the tables, and is left as it was."""

    def __init__(
        self, connection: BoundedConnection, settings: Settings, blobs: Folder, subject: Subject, seed: int
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._blobs = blobs
        self._subject = subject
        self._random = Random(seed)  # noqa: S311 - a campaign can be repeated
        self._damages = Damages(connection, subject, self._random)
        self._known: dict[tuple[str, int], Any] = {}
        self._snapshots = sorted(
            seq for (seq,) in connection.execute(
                b"SELECT last_event_seq FROM snapshots WHERE workflow_id = %s", (subject.workflow_id,)
            )
        )  # fmt: skip

    def only(self, *tables: str) -> Self:
        """The same, with nothing damaged but these."""
        self._damages.keep(tables)
        return self

    def run(self, count: int) -> Iterator[Outcome]:
        """So many damages; those that the database refuses come besides, and are told.

        Now and then nothing is damaged: AssertionError unless all answers are as they were.
        """
        with Questions(self._connection, self._settings, self._blobs, self._subject) as questions:
            self._control(questions)
            done = 0
            while done < count:
                outcome = self._outcome(questions, self._damages.drawn())
                yield outcome
                if outcome.verdict != "refused":
                    done += 1
                    if done % CONTROL_EVERY == 0:
                        self._control(questions)

    def _control(self, questions: Questions) -> None:
        damage = self._damages.drawn()
        with self._connection.transaction(force_rollback=True):
            for question in questions.all:
                if damage.place.table in question.tables or not self._known:
                    self._expected(question, damage, self._seq(damage))
                    found = question.ask(damage.place, self._seq(damage))
                    assert not found.healed, f"Nothing was damaged: {found.healed}"

    def _seq(self, damage: Damage) -> int:
        """An event whose state needs what was damaged: the last one before the next snapshot."""
        if damage.place.seq == 0:
            return self._subject.states[-1].head_seq
        later = (seq for seq in self._snapshots if seq > damage.place.seq)
        return min(next(later, len(self._subject.events) + 1) - 1, len(self._subject.events))

    def _expected(self, question: Question, damage: Damage, seq: int) -> Any:
        """The answer without damage: the core's, where it says one, and in any case what was answered before."""
        key = (question.name, hash((damage.place.row if damage.place.table == RESULTS else "", seq)))
        if key not in self._known:
            value = question.ask(damage.place, seq).value
            if question.truth is not None:
                truth = question.truth(seq)
                assert value == truth, f"Nothing was damaged, and {question.name} is another one at event {seq}."
                value = truth
            self._known[key] = value
        return self._known[key]

    def _outcome(self, questions: Questions, damage: Damage) -> Outcome:
        asked = [question for question in questions.all if damage.place.table in question.tables]
        seq = self._seq(damage)
        expected = [(question, self._expected(question, damage, seq)) for question in asked]
        try:
            with ExitStack() as undone:
                undone.enter_context(self._connection.transaction(force_rollback=True))
                if damage.place.table in BLOB_TABLES:
                    path = self._blobs.path_of(damage.place.row)
                    change = flipped_file(path, damage.bit) if damage.kind == "flip" else missing_file(path)
                    undone.enter_context(change)
                elif not self._is_done(damage):
                    return Outcome(damage, "refused")
                return self._judged(questions, damage, seq, expected)
        except Impossible:  # of a blob
            return Outcome(damage, "refused")

    def _is_done(self, damage: Damage) -> bool:
        try:
            with self._connection.transaction():
                self._damages.do(damage)
        except (Impossible, errors.IntegrityError, errors.DataError):
            return False
        return True

    def _judged(self, questions: Questions, damage: Damage, seq: int, expected: list[tuple[Question, Any]]) -> Outcome:
        """What all questions together make of it: the worst of what is wrong, else the first that tells of it."""
        said: dict[Verdict, str] = {}
        for question, right in expected:
            verdict, detail = _answered(question, damage, seq, right)
            if verdict is not None:
                said.setdefault(verdict, f"{question.name}: {detail}")
        for known in ("served", "failed", "nameless", "omitted", "named", "healed"):
            if known in said:
                return Outcome(damage, known, said[known])
        return self._unanswered(questions, damage, said.get("hint", ""))

    def _unanswered(self, questions: Questions, damage: Damage, hint: str) -> Outcome:
        """No answer shows the damage. Then an examination has to, or nothing may be answered from that column."""
        for problem in questions.problems(damage.place.table):
            return Outcome(damage, "found", problem)
        if hint:
            return Outcome(damage, "hint", hint)
        is_unread = damage.column in UNREAD.get(damage.place.table, ())
        return Outcome(damage, "unread" if is_unread else "unnoticed")


def tally(outcomes: Iterable[Outcome]) -> Counter[tuple[str, Verdict]]:
    """How often damage in each table came to each verdict."""
    return Counter((outcome.damage.place.table, outcome.verdict) for outcome in outcomes)


def _answered(question: Question, damage: Damage, seq: int, right: Any) -> tuple[Verdict | None, str]:
    """What one answer is worth; no verdict where it is the one without damage."""
    try:
        found = question.ask(damage.place, seq)
    except IntegrityError as error:
        is_named = error.field and (error.workflow_id or damage.place.table in BLOB_TABLES)
        return "named" if is_named else "nameless", error.detail
    except Exception as error:  # noqa: BLE001 - whatever it is, it should have been an IntegrityError
        return "failed", f"{type(error).__name__}: {error}"
    if found.value == right:
        return ("healed", found.healed[0]) if found.healed else (None, "")
    if question.is_list and _is_part(found.value, right):
        return "omitted", ""
    return "hint" if question.is_hint else "served", f"at event {seq}: {found.value!r:.200}"


def _is_part(found: Any, right: list[Any]) -> bool:
    """Whether some entries are missing, and nothing else is wrong."""
    rest = iter(right)
    return isinstance(found, list) and len(found) < len(right) and all(each in rest for each in found)
