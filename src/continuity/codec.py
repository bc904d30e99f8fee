"""Avro on the wire: records to bytes and back, in Confluent framing (a zero byte, the 4-byte schema id, the datum).

Reads the packaged schemas once and touches nothing else. Logical types are left out of the parsed form (they change
no byte), so that instants stay integers: turning them into `datetime` and back would cost more than the rest.
"""

from importlib.resources import files
from io import BytesIO
from operator import itemgetter
from typing import Any, NamedTuple, TypedDict, cast

import fastavro
import orjson

from continuity import avro
from continuity.core.records import Command, Event
from continuity.core.seal import PRODUCER_VERSION

HEADER_BYTES = 5
RAW_BYTES_MAX = 1024


class Undecodable(ValueError):
    """The bytes are not a record of the expected kind; the message says why."""


class ReplyTo(NamedTuple):
    """Where the asking instance listens, and the value that tells this attempt from every other."""

    partition: int
    correlation: str


class Reply(TypedDict):
    """The outcome of one command record, as it travels back.

    `status`: accepted, duplicate, answered, refused, unavailable. `result` is canonical JSON.
    """

    command_id: str
    workflow_id: str
    status: str
    event_seq: int | None
    event_id: str | None
    event_type: str | None
    goal_id: str | None
    task_id: str | None
    state_checksum: str | None
    fencing_token: int | None
    code: str | None
    detail: str | None
    fix: str | None
    partition: int
    source_offset: int
    source_generation: int
    epoch: int
    result: str | None


class Lease(TypedDict):
    """The last known expiry of a grant, for outsiders; its Kafka key is `workflow_id/fencing_token`."""

    workflow_id: str
    fencing_token: int
    owner_id: str
    task_id: str | None
    acquired_at: int
    lease_expires_at: int
    heartbeat_at: int


class Rejection(TypedDict):
    """A command record that became no event. `raw` only where it could not be decoded; then the ids are None."""

    command_id: str | None
    command_type: str | None
    tenant: str | None
    project: str | None
    workflow_id: str | None
    operator_id: str | None
    operator_kind: str | None
    session_id: str | None
    code: str
    detail: str
    fix: str
    timestamp: int
    partition: int
    source_offset: int
    source_generation: int
    epoch: int
    raw: bytes | None


def schema_text(name: str) -> str:
    """The published schema `name` (command, event, reply, rejection, lease) as it stands in the package."""
    return files("continuity.schemas").joinpath(f"{name}.avsc").read_text()


def schema_ids() -> dict[int, str]:
    """The ids of the framing, and the file that each stands for."""
    text = files("continuity.schemas").joinpath("ids.json").read_text()
    return {int(number): name for number, name in orjson.loads(text).items()}


class _Framed:
    """One kind of record."""

    def __init__(self, name: str) -> None:
        self.name = name
        number = next(number for number, file in schema_ids().items() if file == f"{name}.avsc")
        self.header = b"\x00" + number.to_bytes(4, "big")
        self.schema = fastavro.parse_schema(_physical(orjson.loads(schema_text(name))))
        self._write = avro.writer(cast("dict[str, Any]", self.schema))

    def encode(self, record: Any) -> bytes:
        return self.header + self._write(record)

    def decode(self, value: bytes | None) -> dict[str, Any]:
        if value is None or value[:HEADER_BYTES] != self.header:
            raise Undecodable(f"It does not begin with the framing of a {self.name} (schema id {self.header[-1]}).")
        source = BytesIO(value)
        source.seek(HEADER_BYTES)
        try:
            record = fastavro.schemaless_reader(source, self.schema, None)
        except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
            raise Undecodable(f"It is not an Avro {self.name}: {type(error).__name__}.") from None
        if source.tell() != len(value):
            raise Undecodable(f"It has {len(value) - source.tell()} bytes after the {self.name}.")
        return cast("dict[str, Any]", record)


def _physical(schema: Any) -> Any:
    """A schema without its logical types."""
    if isinstance(schema, list):
        return [_physical(item) for item in schema]
    if isinstance(schema, dict):
        plain = {key: _physical(value) for key, value in schema.items() if key not in ("logicalType", "doc")}
        return plain["type"] if plain.keys() == {"type"} else plain
    return schema


_COMMAND_FIELDS = itemgetter(*Command._fields)
_COMMAND, _EVENT, _REPLY, _REJECTION, _LEASE = (
    _Framed(name) for name in ("command", "event", "reply", "rejection", "lease")
)


def encode_event(event: Event) -> bytes:
    """An event, or a record of the sequencer's own."""
    return _EVENT.encode(event)


def decode_event(value: bytes | None) -> Event:
    """The inverse; raises `Undecodable`. What the fields say is not checked here (`core.acceptance`, `core.seal`)."""
    return cast("Event", _EVENT.decode(value))


def encode_command(command: Command, reply_to: ReplyTo | None) -> bytes:
    """A command, and where its outcome is to go; None for nowhere (it can be asked for by id)."""
    record = command._asdict()
    record["reply_partition"], record["correlation"] = reply_to or (None, None)
    record["producer_version"] = PRODUCER_VERSION
    return _COMMAND.encode(record)


def decode_command(value: bytes | None) -> tuple[Command, ReplyTo | None]:
    """The inverse; raises `Undecodable`. Form is checked by `core.decide`."""
    record = _COMMAND.decode(value)
    partition, correlation = record["reply_partition"], record["correlation"]
    reply_to = None if partition is None or correlation is None else ReplyTo(partition, correlation)
    return Command._make(_COMMAND_FIELDS(record)), reply_to


def encode_reply(reply: Reply) -> bytes:
    """A reply; its Kafka key is the correlation."""
    return _REPLY.encode(reply)


def decode_reply(value: bytes | None) -> Reply:
    """The inverse; raises `Undecodable`."""
    return cast("Reply", _REPLY.decode(value))


def encode_rejection(rejection: Rejection) -> bytes:
    """A rejection, for audit."""
    return _REJECTION.encode(rejection)


def decode_rejection(value: bytes | None) -> Rejection:
    """The inverse; raises `Undecodable`."""
    return cast("Rejection", _REJECTION.decode(value))


def encode_lease(lease: Lease) -> bytes:
    """The last known expiry of a grant."""
    return _LEASE.encode(lease)


def decode_lease(value: bytes | None) -> Lease:
    """The inverse; raises `Undecodable`."""
    return cast("Lease", _LEASE.decode(value))
