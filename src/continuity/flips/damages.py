"""Damage of stored data, of each kind, in a transaction that its caller rolls back; and where it can be done."""

from collections.abc import Collection
from random import Random
from typing import Any, Final, Literal, NamedTuple

from psycopg import sql

from continuity.flips.subject import TENANT, Subject
from continuity.flips.values import Impossible, flipped
from continuity.postgres import BoundedConnection

Kind = Literal["flip", "delete", "double", "swap"]

TABLES: Final = (
    "events", "snapshots", "workflows", "goals", "tasks", "checkpoints", "entities", "task_dependencies",
    "workflow_leases", "task_claims", "step_attempts", "completed_steps", "late_results",
)  # fmt: skip
BLOBS: Final = "blobs of snapshots"
RESULTS: Final = "blobs of results"
OTHER_KINDS: Final = 8
"""Of so many damages one is no flip, but a lost row or blob, or for events a doubled or a swapped one."""

COLUMNS: Final = """
SELECT relname::text, attname::text, format_type(atttypid, NULL)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s) AND attnum > 0 AND NOT attisdropped
ORDER BY relname, attnum
"""
NAMES: Final = {"timestamp with time zone": "timestamptz", "character varying": "text"}
SEQUENCES: Final = {"events": "event_seq", "snapshots": "last_event_seq"}


class Place(NamedTuple):
    """A row of a table, or a blob of a snapshot or result, whose name `row` is then; `seq` is the event of it."""

    table: str
    row: str
    seq: int


class Damage(NamedTuple):
    """What was done, and where. Of a flip: the column (of a blob: none), and which bit of the value."""

    kind: Kind
    place: Place
    column: str = ""
    bit: int = 0


class Damages:
    """All that can be damaged of one subject; its rows stay where they are, so it is looked up once."""

    def __init__(self, connection: BoundedConnection, subject: Subject, random: Random) -> None:
        self._connection = connection
        self._random = random
        columns = connection.execute(COLUMNS.encode(), (list(TABLES),)).fetchall()
        self.columns: dict[str, dict[str, str]] = {table: {} for table in TABLES}
        for table, column, kind in columns:
            self.columns[table][column] = NAMES.get(kind, kind)
        self._places = {table: self._rows(table, subject.workflow_id) for table in TABLES}
        refs = connection.execute(
            b"SELECT last_event_seq, state_s3_key FROM snapshots WHERE workflow_id = %s AND state_s3_key IS NOT NULL",
            (subject.workflow_id,),
        ).fetchall()
        self._places[BLOBS] = [Place(BLOBS, ref, seq) for seq, ref in refs]
        self._places[RESULTS] = [Place(RESULTS, ref, 0) for ref in subject.results]
        empty = [table for table, places in self._places.items() if not places]
        assert not empty, f"Nothing is stored in {empty}: a campaign would say nothing of it."

    def keep(self, tables: Collection[str]) -> None:
        """From now on draw from these only."""
        self._places = {table: places for table, places in self._places.items() if table in tables}

    def drawn(self) -> Damage:
        """The next one: every table is as likely, every row of it, every column and every bit."""
        place = self._random.choice(self._places[self._random.choice(list(self._places))])
        if self._random.randrange(OTHER_KINDS) == 0:
            kinds: tuple[Kind, ...] = ("delete", "double", "swap") if place.table == "events" else ("delete",)
            return Damage(self._random.choice(kinds), place)
        bit = self._random.getrandbits(32)
        columns = self.columns.get(place.table)
        return Damage("flip", place, self._random.choice(list(columns)) if columns else "", bit)

    def do(self, damage: Damage) -> None:
        """Damage a row. Raises Impossible, and what Postgres says when it refuses."""
        if damage.kind == "flip":
            self._flip(damage)
        elif damage.kind == "delete":
            self._execute("DELETE FROM {table} WHERE ctid = {row}::tid", damage)
        elif damage.kind == "double":
            self._double(damage)
        else:
            self._swap(damage)

    def _rows(self, table: str, workflow_id: str) -> list[Place]:
        query = sql.SQL("SELECT ctid::text, {} FROM {} WHERE workflow_id = %s ORDER BY ctid").format(
            sql.SQL(SEQUENCES.get(table, "0")), sql.Identifier(table)
        )
        return [Place(table, row, seq) for row, seq in self._connection.execute(query, (workflow_id,))]

    def _flip(self, damage: Damage) -> None:
        table, column = sql.Identifier(damage.place.table), sql.Identifier(damage.column)
        kind = self.columns[damage.place.table][damage.column]
        read = sql.SQL("SELECT {}::text FROM {} WHERE ctid = %s::tid").format(column, table)
        found = self._connection.execute(read, (damage.place.row,)).fetchone()
        assert found is not None, "Everything was rolled back, and a row is gone."
        value = sql.SQL("%s::text::" + kind)  # a type's name, as the database has told it
        write = sql.SQL("UPDATE {} SET {} = {} WHERE ctid = %s::tid").format(table, column, value)
        self._connection.execute(write, (flipped(kind, found[0], damage.bit), damage.place.row))

    def _double(self, damage: Damage) -> None:
        """The event stands in the place of the next one, too."""
        names = [name for name in self.columns["events"] if name not in ("event_id", "event_seq")]
        copied = sql.SQL(", ").join(map(sql.Identifier, names))
        self._execute("DELETE FROM events WHERE workflow_id = (SELECT workflow_id FROM events WHERE ctid = {row}::tid)"
                      " AND event_seq = {seq} + 1", damage)  # fmt: skip
        query = sql.SQL("INSERT INTO events (event_id, event_seq, {0}) SELECT gen_random_uuid(), event_seq + 1, {0}"
                        " FROM events WHERE ctid = %s::tid")  # fmt: skip
        self._connection.execute(query.format(copied), (damage.place.row,))

    def _swap(self, damage: Damage) -> None:
        """The event and another one have changed places."""
        other = self._random.choice(self._places["events"])
        if other == damage.place:
            raise Impossible
        for row, seq in ((damage.place.row, -1), (other.row, damage.place.seq)):
            self._connection.execute(b"UPDATE events SET event_seq = %s WHERE ctid = %s::tid", (seq, row))
        moved = b"UPDATE events SET event_seq = %s WHERE event_seq = -1 AND tenant = %s"
        self._connection.execute(moved, (other.seq, TENANT))

    def _execute(self, query: str, damage: Damage) -> None:
        values: dict[str, Any] = {
            "table": sql.Identifier(damage.place.table),
            "row": sql.Literal(damage.place.row),
            "seq": sql.Literal(damage.place.seq),
        }
        self._connection.execute(sql.SQL(query).format(**values))  # our own statements
