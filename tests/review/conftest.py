"""A projection that looks back: the database and snapshots of the tests of restores, with `Past` on top."""

from collections.abc import Callable
from pathlib import Path

import pytest

from continuity.config import Settings
from continuity.review import Past
from tests.restore.conftest import Kept, keeping, restore_database

__all__ = ["keeping", "looking", "restore_database"]

Looking = Callable[..., tuple[Kept, Past]]


@pytest.fixture
def looking(keeping: Callable[..., Kept], tmp_path: Path) -> Looking:
    """An empty projection with a snapshot policy, and who looks back at it."""

    def make(**policy: int) -> tuple[Kept, Past]:
        kept = keeping(**{"every_events": 5, "keep": 100, **policy})
        return kept, Past(Settings(postgres_dsn=kept.dsn, data_dir=tmp_path, blobs=str(tmp_path / "blobs")))

    return make
