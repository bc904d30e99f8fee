"""Blobs in a folder: written once and whole, and never served damaged."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from continuity import blobs
from continuity.blobs import Folder
from continuity.config import Settings
from continuity.errors import ConfigError, IntegrityError, Retryable


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    mask = os.umask(0)
    yield Folder(tmp_path / "a" / "blobs")
    os.umask(mask)


def test_what_is_put_is_got_under_its_digest(folder: Folder) -> None:
    for content in (b"", b"x", bytes(range(256)) * 5_000):
        assert folder.get(folder.put(content)) == content
    assert folder.put(b"x") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_a_second_put_changes_nothing(folder: Folder) -> None:
    path = folder.path_of(folder.put(b"x"))
    before = path.stat()
    folder.put(b"x")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [each.name for each in path.parent.iterdir()] == [path.name], "a draft was left behind"


def test_only_the_owner_can_read_them(folder: Folder) -> None:
    path = folder.path_of(folder.put(b"x"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for parent in (path.parent, path.parent.parent):
        assert stat.S_IMODE(parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b"y", b"xx", b"hal"])
def test_a_damaged_one_is_named_and_healed_by_the_next_put(folder: Folder, content: bytes) -> None:
    ref = folder.put(b"half")
    folder.path_of(ref).write_bytes(content)
    with pytest.raises(IntegrityError, match=ref) as raised:
        folder.get(ref)
    assert raised.value.field == f"blob {ref}"
    assert folder.put(b"half") == ref
    assert folder.get(ref) == b"half"


@pytest.mark.parametrize("ref", ["0" * 64, "../../etc/passwd", "", "A" * 64, "0" * 63, "\0" * 64])
def test_what_is_not_there_or_no_name_is_an_error_that_says_so(folder: Folder, ref: str) -> None:
    folder.put(b"x")
    with pytest.raises(IntegrityError):
        folder.get(ref)


def test_a_write_that_ends_half_way_leaves_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Retryable, match="No space left"):
        folder.put(b"half")
    monkeypatch.undo()
    ref = blobs.ref_of(b"half")
    assert list(folder.path_of(ref).parent.iterdir()) == []
    with pytest.raises(IntegrityError):
        folder.get(ref)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Retryable, match="Not a directory"):
        Folder(tmp_path / "file" / "blobs").put(b"x")


def test_the_settings_choose_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path)
    store = blobs.opened(settings)
    assert isinstance(store, Folder)
    assert store.path_of("0" * 64) == tmp_path / "blobs" / "00" / ("0" * 64)

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(blobs, "import_module", missing)
    with pytest.raises(ConfigError, match=r"continuity\[s3\]"):
        blobs.opened(settings.with_values(s3_bucket="bucket"))


@pytest.mark.parametrize(
    "values",
    [{"s3_bucket": "Not A Bucket"}, {"s3_prefix": "/a"}, {"s3_prefix": "a/"}, {"s3_endpoint": "ftp://x"}],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Settings(**values)  # type: ignore[arg-type]
