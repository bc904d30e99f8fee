"""The incident file: one workflow's whole history in one file that proves itself. Writes and reads its lines; no I/O.

Zstandard over lines of canonical JSON: a header, one line an event with all fields of its record, and a trailer with
the count and the digest of all lines before it. (FORMAT.md, "The incident file".) Nothing is held but a line.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, BinaryIO, Final, NamedTuple, TypedDict, cast

import orjson
import zstandard

from continuity.core import canonical, limits, snapshot
from continuity.core.ids import UUID_TEXT, ZERO_HASH
from continuity.core.records import Event
from continuity.core.state import State

FORMAT: Final = "continuity.incident"
VERSION: Final = 1
MEDIA_TYPE: Final = "application/zstd"
LEVEL: Final = 3
CHUNK_BYTES: Final = 64 * 1024
READ_BYTES: Final = 1024
"""The most that so few compressed bytes can become is 32 MiB: a file that is made to fill the memory does not."""
WINDOW_BYTES_MAX: Final = 8 * 1024 * 1024
HEADER_BYTES_MAX: Final = limits.STATE_BYTES_MAX + 64 * 1024
LINE_BYTES_MAX: Final = 8 * (limits.COMMAND_BYTES_MAX + limits.DELTA_BYTES_MAX)
"""JSON inside a string: each byte of it may take six."""


class Base(TypedDict):
    """The work state on which a fork's first event stands."""

    state_checksum: str
    work: dict[str, Any]


class Header(TypedDict):
    """The first line: whose history, up to where, and when it was exported. `base` is null but for a fork."""

    format: str
    version: int
    tenant: str
    project: str
    workflow_id: str
    exported_at: str
    head_seq: int
    head_hash: str
    count: int
    base: Base | None


class Trailer(TypedDict):
    """The last line: how many events there were, and SHA-256 of all bytes of the lines before."""

    count: int
    digest: str


class Broken(ValueError):
    """A line is not what its place in the file asks for; `field` names what is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail


class Line(NamedTuple):
    """A line without its end, numbered from 1. `digest_before` is the digest of all lines before it."""

    number: int
    raw: bytes
    digest_before: str


# Writing.


def lines(header: Header, events: Iterable[Event]) -> Iterator[bytes]:
    """The lines of a file. `events` are all `count` of them, in order."""
    digest = sha256()
    count = 0
    first = canonical.dumps(header) + b"\n"
    digest.update(first)
    yield first
    for event in events:
        line = canonical.dumps(event) + b"\n"
        digest.update(line)
        count += 1
        yield line
    assert count == header["count"], "The header was written before the events, and promised another number."
    yield canonical.dumps(Trailer(count=count, digest=digest.hexdigest())) + b"\n"


def problem_line(event_seq: int | None, field: str | None, detail: str) -> bytes:
    """What stands in place of a trailer when the writer met a damaged record: such a file proves nothing."""
    told = {"event_seq": event_seq, "field": field, "detail": detail}
    return canonical.dumps({"problem": told}) + b"\n"


def compressed(written: Iterable[bytes]) -> Iterator[bytes]:
    """The file's bytes, in pieces of about CHUNK_BYTES."""
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
    waiting, size = [], 0
    for line in written:
        piece = compressor.compress(line)
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join((*waiting, compressor.flush()))


# Reading.


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file as they stand, each bounded. Raises `Broken` where it is no such file, or ends early."""
    digest = sha256()
    number = 1
    held: list[bytes] = []
    size = 0
    for piece in _decompressed(file):
        *whole, rest = piece.split(b"\n")
        for end in whole:
            raw = b"".join((*held, end))
            held, size = [], 0
            _check_size(number, len(raw))
            yield Line(number, raw, digest.hexdigest())
            digest.update(raw + b"\n")
            number += 1
        held.append(rest)
        size += len(rest)
        _check_size(number, size)
    if size:
        raise Broken("line", "the file ends in the middle of a line")


def _check_size(number: int, size: int) -> None:
    bytes_max = HEADER_BYTES_MAX if number == 1 else LINE_BYTES_MAX
    if size > bytes_max:
        raise Broken("line", f"the line has more than {bytes_max} bytes")


def _decompressed(file: BinaryIO) -> Iterator[bytes]:
    # One frame and nothing after it: what stands behind would be in no digest.
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX).decompressobj()
    try:
        while chunk := file.read(READ_BYTES):
            if decompressor.eof:
                raise Broken("compression", "there are bytes after its end")
            yield decompressor.decompress(chunk)
    except zstandard.ZstdError as error:
        raise Broken("compression", f"it cannot be decompressed: {error}") from None
    if not decompressor.eof or decompressor.unused_data:
        raise Broken("compression", "there are bytes after its end" if decompressor.eof else "it ends too early")


_KINDS: Final[dict[str, tuple[type, ...]]] = {
    name: (int,) if "int" in str(kind) else (str,) for name, kind in Event.__annotations__.items()
}
_NULLABLE: Final = frozenset(name for name, kind in Event.__annotations__.items() if "None" in str(kind))


def header_of(raw: bytes) -> Header:
    """The first line's content."""
    found = _object(raw, Header.__annotations__.keys())
    texts = ("format", "tenant", "project", "workflow_id", "exported_at", "head_hash")
    _check_types(found, {**dict.fromkeys(texts, str), **dict.fromkeys(("version", "head_seq", "count"), int)})
    if (found["format"], found["version"]) != (FORMAT, VERSION):
        raise Broken("format", f"it is no {FORMAT} of version {VERSION}")
    if not UUID_TEXT.fullmatch(found["workflow_id"]):
        raise Broken("workflow_id", "it is no id")
    base = found["base"]
    if base is not None and (not isinstance(base, dict) or base.keys() != Base.__annotations__.keys()):
        raise Broken("base", "it is neither null nor a state with its checksum")
    return cast("Header", found)


def base_of(header: Header) -> State:
    """The state before the first event."""
    base = header["base"]
    if base is None:
        return State(header["workflow_id"])
    try:
        head = snapshot.Head(0, ZERO_HASH, 0)
        return snapshot.state_of(header["workflow_id"], base["work"], head, base["state_checksum"], b"")
    except snapshot.Unsound as unsound:
        raise Broken("base", f"{unsound.field}: {unsound}") from None


def event_of(raw: bytes) -> Event:
    """An event's line: all fields of its record, each of its type, and no other."""
    found = _object(raw, Event.__annotations__.keys())
    for name, kinds in _KINDS.items():
        value = found[name]
        if type(value) not in kinds and not (value is None and name in _NULLABLE):
            raise Broken(name, "it is not of its field's type")
    return cast("Event", found)


def check_problem(raw: bytes) -> None:
    """Raise `Broken` with what the writer met, where a line says so."""
    if not raw.startswith(b'{"problem":'):
        return
    met = _object(raw, ("problem",))["problem"]
    told = met if isinstance(met, dict) else {}
    raise Broken(str(told.get("field")), f"the export met a damaged record: {told.get('detail')}")


def trailer_of(raw: bytes) -> Trailer | None:
    """The last line's content; None if it is no trailer."""
    if not raw.startswith(b'{"count":'):
        return None
    found = _object(raw, Trailer.__annotations__.keys())
    _check_types(found, {"count": int, "digest": str})
    return cast("Trailer", found)


def _object(raw: bytes, names: Iterable[str]) -> dict[str, Any]:
    try:
        found = canonical.loads_canonical(raw)
    except canonical.InvalidJson:
        raise Broken("line", "it is not canonical JSON") from None
    if not isinstance(found, dict):
        raise Broken("line", "it is no object")
    for name in sorted(set(names) ^ found.keys()):
        raise Broken(name, "it is missing" if name in names else "there is no such field")
    return found


def _check_types(found: dict[str, Any], kinds: dict[str, type]) -> None:
    for name, kind in kinds.items():
        if type(found[name]) is not kind:
            raise Broken(name, f"it is no {'integer' if kind is int else 'string'}")


def seq_in(raw: bytes) -> int | None:
    """Which event a line says that it is, however broken it is otherwise; to name it."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    seq = found.get("event_seq") if isinstance(found, dict) else None
    return seq if type(seq) is int else None
