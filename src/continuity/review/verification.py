"""Checking an incident file offline: no broker, no database, nothing but the file. Bounded memory, one pass or two.

The first pass looks for rollbacks only: each names an earlier state that the audit then keeps when it comes by.
"""

from pathlib import Path
from typing import BinaryIO, NamedTuple

from continuity.core.audit import ROLLBACK, Audit, returns
from continuity.errors import ConfigError
from continuity.review import incident
from continuity.review.incident import Broken, Header, Line


class FileProblem(NamedTuple):
    """What is wrong, and where. `event_seq` is null where the line is no event's, or does not say."""

    line: int
    event_seq: int | None
    field: str
    detail: str


class FileVerdict(NamedTuple):
    """What a file proves: the whole history of one workflow up to its head, or where it is broken.

    `problems` has the first of the history, and those of the file as a whole.
    """

    ok: bool
    tenant: str | None
    project: str | None
    workflow_id: str | None
    events: int
    head_seq: int
    head_hash: str | None
    problems: list[FileProblem]


def verify_file(path: Path) -> FileVerdict:
    """The verdict on a file. Raises ConfigError when it cannot be opened."""
    try:
        with path.open("rb") as file:
            keep = _rollbacks(file)
            file.seek(0)
            return _Reading(keep).verdict(file)
    except OSError as error:
        fix = "Name a file that `continuity export` wrote."
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.", fix=fix) from error


def _rollbacks(file: BinaryIO) -> set[int]:
    mark = f'"event_type":"{ROLLBACK}"'.encode()
    found: set[int] = set()
    try:
        for line in incident.read_lines(file):
            if mark in line.raw and (to_seq := returns(incident.event_of(line.raw))) is not None:
                found.add(to_seq)
    except Broken:
        pass  # the second pass says where
    return found


class _Reading:
    """One pass through the lines of a file."""

    def __init__(self, keep: set[int]) -> None:
        self._keep = keep
        self._header: Header | None = None
        self._audit: Audit | None = None
        self._broken = False
        self._number = 0
        self._count = 0
        self._ended = False
        self._problems: list[FileProblem] = []

    def verdict(self, file: BinaryIO) -> FileVerdict:
        try:
            for line in incident.read_lines(file):
                self._number = line.number
                self._take(line)
            if not self._ended:
                self._wrong(self._number + 1, None, "line", "the file ends without a trailer")
        except Broken as broken:
            self._wrong(self._number + 1, None, broken.field, broken.detail)
        head = self._audit.state if self._audit is not None else None
        told = self._header
        return FileVerdict(
            ok=not self._problems,
            tenant=None if told is None else told["tenant"],
            project=None if told is None else told["project"],
            workflow_id=None if told is None else told["workflow_id"],
            events=self._count,
            head_seq=0 if head is None else head.head_seq,
            head_hash=None if head is None else head.head_hash,
            problems=self._problems,
        )

    def _take(self, line: Line) -> None:
        try:
            self._look(line)
        except Broken as broken:
            # What comes after a broken event follows from it: the file's own ends are still looked at.
            if not self._broken:
                self._wrong(line.number, incident.seq_in(line.raw), broken.field, broken.detail)
            self._broken = True

    def _look(self, line: Line) -> None:
        if self._ended:
            raise Broken("line", "there is something after the trailer")
        if line.number == 1:
            self._begin(line)
        elif (trailer := incident.trailer_of(line.raw)) is not None:
            self._ended = True
            self._end(line, trailer)
        else:
            incident.check_problem(line.raw)
            self._count += 1
            self._add(line)

    def _begin(self, line: Line) -> None:
        header = incident.header_of(line.raw)
        self._header = header
        self._audit = Audit(incident.base_of(header), self._keep)

    def _add(self, line: Line) -> None:
        event = incident.event_of(line.raw)
        if self._audit is None or self._header is None:
            return  # the header is broken, and said so
        for name in ("tenant", "project"):
            if event[name] != self._header[name]:
                raise Broken(name, "it is not the one of the header")
        problem = self._audit.add(event)
        if problem is not None:
            raise Broken(problem.field, problem.detail)

    def _end(self, line: Line, trailer: incident.Trailer) -> None:
        if trailer["digest"] != line.digest_before:
            self._wrong(line.number, None, "digest", "the lines before it do not have its digest")
        if trailer["count"] != self._count:
            self._wrong(line.number, None, "count", f"it counts {trailer['count']} events, there are {self._count}")
        if self._header is None or self._audit is None:
            return
        if self._header["count"] != self._count:
            self._wrong(1, None, "count", f"it promises {self._header['count']} events, there are {self._count}")
        head = self._audit.state
        if not self._broken and (self._header["head_seq"], self._header["head_hash"]) != (
            head.head_seq,
            head.head_hash,
        ):
            self._wrong(1, None, "head_seq", f"it promises another head than event {head.head_seq}")

    def _wrong(self, line: int, event_seq: int | None, field: str, detail: str) -> None:
        self._problems.append(FileProblem(line, event_seq, field, detail))
