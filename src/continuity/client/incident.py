"""What an exported file says of itself at its end: whether all of it came, and how much that is. Bounded memory.

Only what a download needs: that a history is right is shown by `continuity verify FILE`, which needs no service.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, TypedDict

import orjson
import zstandard

from continuity.client.errors import Unavailable
from continuity.errors import IntegrityError


class Exported(TypedDict):
    """A file that came whole. `digest` covers all its lines but the last, which carries it."""

    path: str
    events: int
    digest: str
    size_bytes: int


@contextmanager
def beside(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path` when all went well, and leaves nothing behind when it did not."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w+b") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def checked(file: IO[bytes], path: Path) -> Exported:
    """The end of a downloaded file. Raises IntegrityError when the service met a damaged event, Unavailable if cut."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    digest, last = sha256(), b""
    try:
        reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
        for line in io.BufferedReader(reader):
            digest.update(last)
            last = line
        end = orjson.loads(last)
    except (zstandard.ZstdError, orjson.JSONDecodeError):
        end = {}
    if "problem" in end:
        met = end["problem"]
        raise IntegrityError(met["detail"], workflow_id="", event_seq=met["event_seq"], field=met["field"])
    if end.get("digest") != digest.hexdigest():
        raise Unavailable("The file did not come whole.", fix="Export it again.")
    return Exported(path=str(path), events=end["count"], digest=end["digest"], size_bytes=size)
