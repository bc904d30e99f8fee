"""What others write to the events topic: garbage, echoes, wrong epochs, and forgeries that only a chain gives away."""

import uuid
from random import Random
from typing import Any

from continuity import codec
from continuity.core import canonical, ids
from continuity.core.acceptance import Acceptance
from continuity.core.records import SEQUENCER_EPOCH, SEQUENCER_MARK, Event
from continuity.core.seal import own_record
from tests.simulation.partition import Partition

MALFORMED = (
    "",
    "[]",
    "{}",
    '{"rules_version":"9","topic_id":"t","forced_by":null}',
    '{"forced_by":null,"rules_version":1}',
)


def write_garbage(partition: Partition, random: Random, acceptance: Acceptance) -> str:
    """Append something that must never count; says which kind."""
    kind = random.choice(
        ("garbage", "echo", "malformed epoch", "old epoch", "far epoch", "outdated epoch", "unknown owner")
    )
    if kind == "garbage":
        partition.append(random.randbytes(random.randint(0, 60)))
    elif kind == "echo":
        partition.append(random.choice(partition.events) if partition.events else b"")
    elif kind == "malformed epoch":
        partition.append(
            _own(acceptance, random, SEQUENCER_EPOCH, random.choice(MALFORMED), epoch=acceptance.epoch + 1)
        )
    elif kind == "old epoch":
        partition.append(_own(acceptance, random, SEQUENCER_EPOCH, _payload(acceptance), epoch=acceptance.epoch))
    elif kind == "far epoch":
        partition.append(_own(acceptance, random, SEQUENCER_EPOCH, _payload(acceptance), epoch=acceptance.epoch + 2))
    elif kind == "outdated epoch":
        payload = _payload(acceptance._replace(rules_version=acceptance.rules_version - 1))
        partition.append(_own(acceptance, random, SEQUENCER_EPOCH, payload, epoch=acceptance.epoch + 1))
    else:
        offset = acceptance.source_offset + 1
        partition.append(_own(acceptance, random, SEQUENCER_MARK, "{}", epoch_seq=1, source_offset=offset))
    return kind


def forge(partition: Partition, acceptance: Acceptance, template: Event) -> None:
    """An event that passes for the current owner's next one, and whose chain does not fit: damage."""
    forged: Any = dict(template)
    forged |= {
        "epoch": acceptance.epoch,
        "sequencer_id": acceptance.sequencer_id,
        "epoch_seq": acceptance.epoch_seq + 1,
        "source_generation": acceptance.generation,
        "source_offset": acceptance.source_offset + 1,
        "event_seq": template["event_seq"] + 1,
        "prev_hash": ids.ZERO_HASH,
    }
    partition.append(codec.encode_event(forged))


def forge_a_mark(partition: Partition, acceptance: Acceptance) -> None:
    """The current owner's next record by its number, that speaks for a command which was spoken for."""
    mark = _own(acceptance, Random(0), SEQUENCER_MARK, "{}", sequencer_id=acceptance.sequencer_id)
    record: Any = codec.decode_event(mark)
    partition.append(codec.encode_event(record | {"epoch_seq": acceptance.epoch_seq + 1}))


def _payload(acceptance: Acceptance) -> str:
    known = {"forced_by": None, "lost": None, "partition": 0, "rules_version": acceptance.rules_version}
    return canonical.text(known | {"topic_id": acceptance.topic_id})


def _own(acceptance: Acceptance, random: Random, event_type: str, payload: str, **fields: Any) -> bytes:
    record: Any = own_record(event_type, payload)
    record |= {
        "epoch": acceptance.epoch,
        "sequencer_id": str(uuid.UUID(int=random.getrandbits(128), version=4)),
        "source_generation": acceptance.generation,
        "source_offset": acceptance.source_offset,
    }
    return codec.encode_event(record | fields)
