"""The asynchronous client's questions about the past: what each means is written at `client.looking.Past`."""

import asyncio
from abc import ABC, abstractmethod
from os import PathLike
from pathlib import Path
from typing import IO, TypeVar, cast

from continuity.client import wire
from continuity.client.incident import Exported, beside, checked
from continuity.client.looking import HISTORY_PAGE
from continuity.review_answers import Explanation, SnapshotTold, StateDiff, TaskHistory, Verdict

T = TypeVar("T")


class AsyncPast(ABC):
    """What can be asked about a project's past."""

    _wire: wire.Wire

    @abstractmethod
    async def _run(self, steps: wire.Steps[T]) -> T: ...

    @abstractmethod
    async def _download(self, steps: wire.Steps[None], file: IO[bytes]) -> None: ...

    async def explain(self, *, at_seq: int | None = None, for_owner: str | None = None) -> Explanation:
        """As `Continuity.explain`."""
        return cast("Explanation", await self._run(self._wire.look("explain", at_seq=at_seq, for_owner=for_owner)))

    async def diff(self, from_seq: int, to_seq: int | None = None) -> StateDiff:
        """As `Continuity.diff`."""
        return cast("StateDiff", await self._run(self._wire.look("diff", from_seq=from_seq, to_seq=to_seq)))

    async def history(self, task_id: str) -> TaskHistory:
        """As `Continuity.history`."""
        whole = await self._history(task_id, 0)
        while whole["has_more"]:
            page = await self._history(task_id, whole["next_after_seq"])
            whole = {**page, "entries": [*whole["entries"], *page["entries"]]}
        return whole

    async def snapshots(self, limit: int = 100) -> list[SnapshotTold]:
        """As `Continuity.snapshots`."""
        return cast("list[SnapshotTold]", (await self._run(self._wire.look("snapshots", limit=limit)))["snapshots"])

    async def verify(self) -> Verdict:
        """As `Continuity.verify`."""
        return cast("Verdict", await self._run(self._wire.look("verify")))

    async def export(self, path: str | PathLike[str], *, at_seq: int | None = None) -> Exported:
        """As `Continuity.export`."""
        target = Path(path)
        with beside(target) as file:
            await self._download(self._wire.export(at_seq), file)
            # It verifies every event of the file: seconds, in which the caller's other tasks go on.
            return await asyncio.to_thread(checked, file, target)

    async def _history(self, task_id: str, after_seq: int) -> TaskHistory:
        asked = {"task_id": task_id, "after_seq": after_seq or None, "limit": HISTORY_PAGE}
        return cast("TaskHistory", await self._run(self._wire.look("history", **asked)))
