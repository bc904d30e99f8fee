"""A workflow's events as the events topic has them: what heals a damaged journal. A flat adapter over Kafka.

Reads the workflow's whole partition by the rule of every reader (`core.acceptance`), so it costs as much as the
partition is long: for a restore that has nothing else left, and for checks.
"""

from collections.abc import Iterable, Iterator

from continuity import codec, kafka
from continuity.config import Settings
from continuity.core.acceptance import START, Verdict, judge
from continuity.core.ids import partition_of
from continuity.core.records import Event
from continuity.errors import IntegrityError


def facts(values: Iterable[bytes | None]) -> Iterator[Event]:
    """The events among all records of a partition, in order from its first one: of every workflow, each once."""
    acceptance = START
    for value in values:
        try:
            event = codec.decode_event(value)
        except codec.Undecodable:
            continue
        acceptance, verdict = judge(acceptance, event)
        if verdict is Verdict.EVENT:
            yield event


class Logged:
    """Implements `restoring.LogReader`. Raises Retryable when the broker is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, workflow_id: str) -> Iterator[Event]:
        """The facts of the workflow, in order. IntegrityError if the topic has lost its beginning."""
        topic = self._settings.events_topic
        _, partitions = kafka.topic_id(self._settings, topic)
        partition = partition_of(workflow_id, partitions)
        consumer = kafka.reader(self._settings, "logged")
        try:
            low, end = kafka.watermarks(consumer, topic, partition)
        finally:
            consumer.close()
        if low > 0:
            detail = f"Partition {partition} of {topic} begins at offset {low}: older events are gone."
            raise IntegrityError(detail, workflow_id=workflow_id, fix="Restore the topic.")
        messages = kafka.read_range(self._settings, topic, partition, low, end)
        for event in facts(message.value() for message in messages):
            if event["workflow_id"] == workflow_id:
                yield event
