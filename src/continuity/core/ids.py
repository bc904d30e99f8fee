"""Identifiers and instants. Every id is a lower-case UUID string, and every one is derived, never drawn. Pure."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha1, sha256
from uuid import UUID

from continuity.core.limits import NAME_CHARACTERS_MAX

NAMESPACE = UUID("6b1f0a52-9c5e-5d4b-8a77-2f3f2a6f6c11")
NIL = "00000000-0000-0000-0000-000000000000"
ZERO_HASH = "0" * 64

NAME = re.compile(rf"[a-z0-9][a-z0-9._-]{{0,{NAME_CHARACTERS_MAX - 1}}}")
UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@lru_cache(maxsize=32_768)
def workflow_id(tenant: str, project: str) -> str:
    """A project is one workflow, whose id is UUIDv5 of `tenant/project`."""
    return _uuid5(NAMESPACE.bytes, f"{tenant}/{project}")


def entity_id(workflow: str, command_id: str) -> str:
    """The id of what a command creates, so that its repeat, however late, cannot create a second one."""
    return _uuid5(bytes.fromhex(workflow.replace("-", "")), command_id)


def event_id(timestamp_micros: int, workflow: str, event_seq: int, command_id: str) -> str:
    """A UUIDv7-shaped id: 48 bits of milliseconds, then bits of a digest. Deterministic, and ordered in an index."""
    digest = sha256(f"{workflow}/{event_seq}/{command_id}".encode()).digest()
    millis = (timestamp_micros // 1000).to_bytes(6, "big")
    tail = bytes((0x70 | digest[0] & 0x0F, digest[1], 0x80 | digest[2] & 0x3F)) + digest[3:10]
    return _format((millis + tail).hex())


@lru_cache(maxsize=4_096)
def instant(micros: int) -> str:
    """RFC 3339 in UTC with six digits, from microseconds since 1970; cached, as log times repeat within a batch."""
    return (EPOCH + timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def micros_of(text: str) -> int:
    """The inverse of `instant`."""
    return (datetime.fromisoformat(text) - EPOCH) // MICROSECOND


def partition_of(workflow: str, partitions: int) -> int:
    """The partition of a workflow: Kafka's own murmur2 of its id, so that every Kafka client agrees."""
    return (_murmur2(workflow.encode()) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    # MurmurHash2, 32 bits, seed 0x9747b28c, as in Kafka's default partitioner. Only used when a workflow is restored.
    mask, multiplier = 0xFFFFFFFF, 0x5BD1E995
    mixed = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        block = int.from_bytes(data[at : at + 4], "little") * multiplier & mask
        block = (block ^ block >> 24) * multiplier & mask
        mixed = mixed * multiplier & mask ^ block
    if rest := data[whole:]:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * multiplier & mask
    mixed = (mixed ^ mixed >> 13) * multiplier & mask
    return mixed ^ mixed >> 15


def _uuid5(namespace: bytes, name: str) -> str:
    # uuid.uuid5 costs 3.8 µs, most of it for the object: here only the text is wanted.
    digest = bytearray(sha1(namespace + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = 0x50 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return _format(digest.hex())


def _format(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
