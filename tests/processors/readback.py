"""What the topics hold after a test, read as any consumer would; and what has to be true of it.

The same reading as in the simulation (`tests.simulation.truth`), over the real broker.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from continuity import codec, kafka
from continuity.config import Settings
from continuity.core.records import Event
from continuity.core.restore import restore
from continuity.processors import Store
from continuity.processors.loop import KafkaPartitionLog
from continuity.producers import Outcome
from tests.simulation.truth import Truth


class Log:
    """The accepted events of all partitions, by command."""

    def __init__(self, settings: Settings) -> None:
        self.partitions = [truth_of(settings, number) for number in range(settings.partitions)]
        self.events: dict[str, Event] = {}
        self.verdicts: Counter[str] = Counter()
        for truth in self.partitions:
            self.verdicts.update(truth.verdicts)
            for workflow_id, journal in truth.journals.items():
                events = [fact.event for fact in journal]
                assert restore(workflow_id, events) == truth.histories[workflow_id][-1], "fold(events) != fold(deltas)"
                for event in events:
                    assert event["command_id"] not in self.events, f"two events for {event['command_id']}"
                    self.events[event["command_id"]] = event

    def holds(self, outcomes: Iterable[Outcome]) -> None:
        """Whatever was acknowledged is a fact, exactly as it was told; whatever was refused is none."""
        names = ("event_seq", "event_id", "event_type", "goal_id", "task_id")
        for outcome in outcomes:
            event: Any = self.events.get(outcome["command_id"])
            if outcome["status"] in ("accepted", "duplicate"):
                assert event is not None, f"acknowledged, and not in the log: {outcome}"
                assert {name: event[name] for name in names} == {name: outcome[name] for name in names}  # type: ignore[literal-required]
                assert outcome["state_checksum"] in (None, event["state_checksum"])
            else:
                assert event is None, f"refused, and in the log: {outcome}"

    @property
    def stopped(self) -> set[str]:
        return {workflow_id for truth in self.partitions for workflow_id in truth.stopped}


def truth_of(settings: Settings, number: int) -> Truth:
    consumer = kafka.reader(settings, "readback")
    try:
        truth = Truth(KafkaPartitionLog(settings, consumer, number))
        truth.read()
        return truth
    finally:
        consumer.close()


def rejections(settings: Settings) -> list[codec.Rejection]:
    """All of them, in any order."""
    found: list[codec.Rejection] = []
    consumer = kafka.reader(settings, "readback")
    try:
        for number in range(settings.partitions):
            _, end = kafka.watermarks(consumer, settings.rejections_topic, number)
            messages = kafka.read_range(settings, settings.rejections_topic, number, 0, end)
            found += [codec.decode_rejection(message.value()) for message in messages]
    finally:
        consumer.close()
    return found


def is_projected(settings: Settings) -> bool:
    """Whether the database has everything that is in the events topic now."""
    consumer, store = kafka.reader(settings, "readback"), Store(settings.postgres_dsn)
    try:
        return all(
            store.position(number).offset >= kafka.watermarks(consumer, settings.events_topic, number)[1]
            for number in range(settings.partitions)
        )
    finally:
        consumer.close()
        store.close()
