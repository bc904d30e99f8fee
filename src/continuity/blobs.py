"""Blobs: bytes too large for a row, named by their SHA-256. In a folder, or in S3 (`continuity.s3`). A flat adapter.

A name that is made of the content needs no coordination: a blob is written once, whoever writes it and however often,
and what is read is compared with its name. Therefore a blob is never served damaged, and never changes.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from continuity import files
from continuity.config import Settings
from continuity.core.fields import DIGEST_TEXT
from continuity.errors import ConfigError, IntegrityError, Retryable


class Blobs(Protocol):
    """A store of blobs. Every call is bounded in time; both raise Retryable while the store is away."""

    def put(self, content: bytes) -> str:
        """Keep `content`, durably, unless it is there; its name, 64 hexadecimal digits. Heals a damaged one."""
        ...

    def get(self, ref: str) -> bytes:
        """The content of that name. Raises IntegrityError, which names the blob, when it is missing or damaged."""
        ...


def opened(settings: Settings) -> Blobs:
    """The store that the settings name: S3 where there is a bucket, else the folder."""
    if not settings.s3_bucket:
        return Folder(Path(settings.blobs))
    try:
        # Only who keeps blobs in S3 needs its client, which takes a third of a second to import.
        s3 = import_module("continuity.s3")
    except ModuleNotFoundError as error:
        fix = "Install it: pip install 'continuity[s3]'."
        raise ConfigError(f"CONTINUITY_S3_BUCKET is set, but {error.name} is not installed.", fix=fix) from None
    return cast("Blobs", s3.S3(settings))


def ref_of(content: bytes) -> str:
    """The name of a blob."""
    return sha256(content).hexdigest()


def verified(ref: str, content: bytes) -> bytes:
    """`content`, if that is its name; IntegrityError if it is damaged."""
    if ref_of(content) != ref:
        raise damaged(ref, f"is damaged: its {len(content)} bytes do not have its digest")
    return content


def damaged(ref: str, what: str) -> IntegrityError:
    """The blob cannot be relied on."""
    return IntegrityError(f"Blob {ref:.80} {what}.", workflow_id="", field=f"blob {ref:.80}")


class Missing(IntegrityError):
    """No blob has this name: it was never kept here, or it is lost."""


def missing(ref: str) -> Missing:
    """There is no such blob."""
    return Missing(f"Blob {ref:.80} is missing.", workflow_id="", field=f"blob {ref:.80}")


class Folder:
    """Blobs as files, in 256 folders by the first two digits. Only their owner can read them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path_of(self, ref: str) -> Path:
        """Where a blob lies, or would. Raises IntegrityError when that is no name of one."""
        if not DIGEST_TEXT.fullmatch(ref):
            raise damaged(ref, "is none: a name has 64 hexadecimal digits")
        return self._root / ref[:2] / ref

    def put(self, content: bytes) -> str:
        """As `Blobs.put`: the file appears whole and on disk, or not at all."""
        ref = ref_of(content)
        path = self.path_of(ref)
        with _translated(path):
            if self._is_sound(ref, path):
                return ref
            self._prepare(path.parent)
            # Over a damaged one, too; over one that somebody else has just written, it changes nothing.
            files.replace(path, content)
            _sync(path.parent)
        return ref

    def get(self, ref: str) -> bytes:
        """As `Blobs.get`."""
        path = self.path_of(ref)
        with _translated(path):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                raise missing(ref) from None
        return verified(ref, content)

    def _prepare(self, folder: Path) -> None:
        if not folder.is_dir():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)  # `parents` would make the one between open to everybody
            _sync(self._root)

    def _is_sound(self, ref: str, path: Path) -> bool:
        with suppress(FileNotFoundError):
            return ref_of(path.read_bytes()) == ref
        return False


def _sync(folder: Path) -> None:
    """Make a name in a folder outlive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        fix = "Set CONTINUITY_BLOBS to a folder of the services' user."
        raise ConfigError(f"{path.parent} cannot be used: {error.strerror}.", fix=fix) from error
    except OSError as error:
        wait = 10.0 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 1.0
        detail = f"The folder of blobs, {path.parent}, cannot be used now: {error.strerror}."
        raise Retryable(detail, fix="Make room, or repair the disk.", retry_after_seconds=wait) from error
