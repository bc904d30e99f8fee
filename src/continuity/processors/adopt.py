"""Adopting another commands topic: an operator's decision, written into the log as a forced epoch.

A sequencer refuses to go on when the commands topic is not the one that its log speaks for, because offsets would mean
other commands. Somebody who knows why (the topic was made again, a cluster was restored) begins a new generation here.
"""

from uuid import uuid4

from confluent_kafka import KafkaError, Message

from continuity import kafka
from continuity.config import Settings
from continuity.errors import ConfigError, Retryable
from continuity.processors.cache import Cache
from continuity.processors.loop import KafkaPartitionLog
from continuity.processors.opening import Opened, Outdated, read_log
from continuity.processors.ports import WorkStore
from continuity.processors.sequencer import Dislodged, Sequencer

CONFIRM_SECONDS = 10.0


def adopt(settings: Settings, store: WorkStore, operator_id: str) -> list[int]:
    """Begin a new generation in each partition that needs one; returns their numbers.

    `operator_id` is written into the log. Commands that only the former topic held are lost; no event is. Raises
    Retryable if a sequencer took the partition meanwhile: repeat.
    """
    consumer = kafka.reader(settings, "adopt")
    try:
        logs = [KafkaPartitionLog(settings, consumer, number) for number in range(settings.partitions)]
        return [number for number, log in enumerate(logs) if _adopt_partition(settings, log, store, operator_id)]
    finally:
        consumer.close()


def _adopt_partition(settings: Settings, log: KafkaPartitionLog, store: WorkStore, operator_id: str) -> bool:
    try:
        read_log(log, store, Cache(1))
    except (ConfigError, Outdated):
        _begin_generation(settings, read_log(log, store, Cache(1), forced_by=operator_id))
        return True
    return False


def _begin_generation(settings: Settings, opened: Opened) -> None:
    sequencer = Sequencer(opened, str(uuid4()), Cache(1))
    outcome: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            outcome.append(error.str())
            return
        try:
            sequencer.confirm(0, kafka.offset_of(message))
        except Dislodged as dislodged:
            outcome.append(str(dislodged))

    producer = kafka.event_producer(settings)
    producer.produce(
        settings.events_topic, sequencer.opening.value, partition=sequencer.partition, on_delivery=delivered
    )
    if producer.flush(CONFIRM_SECONDS) or outcome:
        raise Retryable(f"The new generation of partition {sequencer.partition} was not confirmed: {outcome}.")
