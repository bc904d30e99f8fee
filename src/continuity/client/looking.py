"""The synchronous client's questions about the past."""

from abc import ABC, abstractmethod
from os import PathLike
from pathlib import Path
from typing import IO, TypeVar, cast

from continuity.client import wire
from continuity.client.incident import Exported, beside, checked
from continuity.review_answers import Explanation, SnapshotTold, StateDiff, TaskHistory, Verdict

T = TypeVar("T")

HISTORY_PAGE = 500


class Past(ABC):
    """What can be asked about a project's past. All of it raises UnknownProject, NoSuchSeq and IntegrityError."""

    _wire: wire.Wire

    @abstractmethod
    def _run(self, steps: wire.Steps[T]) -> T: ...

    @abstractmethod
    def _download(self, steps: wire.Steps[None], file: IO[bytes]) -> None: ...

    def explain(self, *, at_seq: int | None = None, for_owner: str | None = None) -> Explanation:
        """Why the next step is, or was after event `at_seq`, what it is: rules, candidates, and the losing ranks."""
        return cast("Explanation", self._run(self._wire.look("explain", at_seq=at_seq, for_owner=for_owner)))

    def diff(self, from_seq: int, to_seq: int | None = None) -> StateDiff:
        """What changed from one event to another, as a JSON Patch and in words; 0 is before the first, None now."""
        return cast("StateDiff", self._run(self._wire.look("diff", from_seq=from_seq, to_seq=to_seq)))

    def history(self, task_id: str) -> TaskHistory:
        """What happened to a task, in order: events, attempts, takeovers, results that came too late.

        Raises UnknownTask.
        """
        whole = self._history(task_id, 0)
        while whole["has_more"]:
            page = self._history(task_id, whole["next_after_seq"])
            whole = {**page, "entries": [*whole["entries"], *page["entries"]]}
        return whole

    def snapshots(self, limit: int = 100) -> list[SnapshotTold]:
        """The newest stored states."""
        return cast("list[SnapshotTold]", self._run(self._wire.look("snapshots", limit=limit))["snapshots"])

    def verify(self) -> Verdict:
        """Whether the project's journal, rows and snapshots are as they were written; a bad verdict does not raise."""
        return cast("Verdict", self._run(self._wire.look("verify")))

    def export(self, path: str | PathLike[str], *, at_seq: int | None = None) -> Exported:
        """Write the project's whole history into one file that proves itself, up to event `at_seq` or the last one.

        What stood at `path` is replaced when all of it has come. Raises IntegrityError when an event is damaged.
        """
        target = Path(path)
        with beside(target) as file:
            self._download(self._wire.export(at_seq), file)
            return checked(file, target)

    def _history(self, task_id: str, after_seq: int) -> TaskHistory:
        asked = {"task_id": task_id, "after_seq": after_seq or None, "limit": HISTORY_PAGE}
        return cast("TaskHistory", self._run(self._wire.look("history", **asked)))
