"""Checkers that decide once more: every outcome has to follow from the command record and the state that it met."""

from typing import TYPE_CHECKING

from continuity import codec
from continuity.core import ids
from continuity.core.decide import Accepted, Duplicate, Rejected, decide
from continuity.core.records import Command
from continuity.core.seal import digest
from continuity.core.transitions import EVENT_TYPES
from continuity.processors import CommandRecord
from continuity.processors.tail import TAIL_BYTES_MAX
from tests.simulation.broken import Broken
from tests.simulation.owner import Batch
from tests.simulation.partition import PARTITION, PARTITIONS

if TYPE_CHECKING:
    from tests.simulation.world import Told, World


def every_fact_is_what_its_command_asked(world: "World") -> None:
    """The command record that it speaks for, decided once more on the state that it met, gives the very same event."""
    for place, fact in world.truth.facts.items():
        record = world.record(place)
        command, _ = codec.decode_command(record.value)
        at_home = ids.partition_of(command.workflow_id, PARTITIONS) == PARTITION
        outcome = decide(world.truth.state_before(command.workflow_id, place), command, record.timestamp)
        if not at_home or not isinstance(outcome, Accepted) or outcome.event["event_hash"] != fact.event["event_hash"]:
            raise Broken(every_fact_is_what_its_command_asked, f"{place}: {outcome}, and the fact is {fact}")


def a_duplicate_is_of_the_same_command(world: "World") -> None:
    """The event that it names was made by this command: the same id, type and, while it is remembered, body."""
    for told in world.told:
        if told.status == "duplicate" and told.reply is not None:
            command, _ = codec.decode_command(world.record(told.place).value)
            journal = world.truth.journals[command.workflow_id]
            event = journal[(told.reply["event_seq"] or 0) - 1].event
            head = sum(fact.place < told.place for fact in journal)
            same = (event["command_id"], event["event_type"]) == (command.command_id, EVENT_TYPES[command.command_type])
            if same and head - event["event_seq"] < world.window_slots:
                same = event["command_digest"] == digest(f"{command.command_type}\n{command.body}")
            if not same:
                raise Broken(a_duplicate_is_of_the_same_command, f"{told.place}: {command} is not {event}")


def every_other_outcome_is_justified(world: "World") -> None:
    """The state that the record met, decided once more, gives the refusal or duplicate that was told."""
    batches = {(batch.sequencer_id, record.offset): batch for batch in world.all_batches() for record in batch.records}
    for told in world.told:
        if told.status != "accepted":
            record = world.record(told.place)
            reason = _injustice(world, told, record, batches[told.sequencer_id, record.offset])
            if reason:
                raise Broken(every_other_outcome_is_justified, f"{told.place} {told.status} {told.code}: {reason}")


def _injustice(world: "World", told: "Told", record: CommandRecord, batch: Batch) -> str | None:
    """Why this outcome is wrong, or None."""
    try:
        command, _ = codec.decode_command(record.value)
    except codec.Undecodable:
        return None if told.code == "poison" else "it is poison"
    if told.code == "unavailable":
        return _unavailability(world, command, batch)
    if told.code == "workflow_stopped":
        return None if command.workflow_id in world.truth.stopped else "nothing stopped the workflow"
    if command.workflow_id != ids.workflow_id(command.tenant, command.project):
        return None if told.code == "invalid_field" else "its workflow is not its project's"
    if ids.partition_of(command.workflow_id, PARTITIONS) != PARTITION:
        return None if told.code == "wrong_partition" else "it is misplaced"
    outcome = decide(world.truth.state_before(command.workflow_id, told.place), command, record.timestamp)
    if isinstance(outcome, Rejected) and told.status == "refused":
        return None if (outcome.code, outcome.detail) == (told.code, told.detail) else f"it is {outcome}"
    if isinstance(outcome, Duplicate) and told.reply is not None and told.status == "duplicate":
        wrong = [name for name, value in outcome._asdict().items() if told.reply[name] != value]  # type: ignore[literal-required]
        return f"the reply differs in {wrong}" if wrong else None
    return f"it is {outcome}"


def _unavailability(world: "World", command: Command, batch: Batch) -> str | None:
    """An outage has to be there: the database away, rotten, behind what this owner saw of it, or behind a small tail;
    or the chain is damaged."""
    looks = batch.looks
    reasons = (
        command.workflow_id in looks.asked and looks.was_away,
        any(position < batch.seen for position in looks.fetched),
        world.tail_bytes_max < TAIL_BYTES_MAX and any(position < batch.tail_start for position in looks.fetched),
        command.workflow_id in world.ever_rotten,
        command.workflow_id in world.truth.stopped,
    )
    return None if any(reasons) else "there was no outage"
