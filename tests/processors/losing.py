"""A producer of events that loses one record in the middle of a stream, as librdkafka does when it gives one up.

Everything else is the real producer: the records after the lost one are delivered, at offsets without a hole.
"""

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Producer

from continuity import kafka
from continuity.config import Settings


class Losing:
    """Loses record `number` of partition 0 (0 is the epoch record), and tells so after `later` further ones of it."""

    def __init__(self, producer: Producer, number: int, later: int) -> None:
        self._producer, self._number, self._later = producer, number, later
        self._seen = -1
        self._lost: Callable[..., None] | None = None

    def produce_batch(self, topic: str, messages: list[dict[str, Any]], *, partition: int) -> None:
        for message in messages:
            self._seen += partition == 0
            if partition == 0 and self._seen == self._number:
                self._lost = message["callback"]
            else:
                self._producer.produce_batch(topic, [message], partition=partition)

    def poll(self, seconds: float) -> int:
        if self._lost is not None and self._seen >= self._number + self._later:
            lost, self._lost = self._lost, None
            lost(KafkaError(KafkaError._MSG_TIMED_OUT), None)
            self._producer.flush()  # the later ones reach the log all the same
        return self._producer.poll(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)


class LosingFactory:
    """Stands in place of `kafka.event_producer`: the first `times` producers lose a record."""

    def __init__(self, number: int, later: int, times: int = 1) -> None:
        self.number, self.later, self.times = number, later, times
        self.made = 0
        self._make = kafka.event_producer

    def __call__(self, settings: Settings) -> Any:
        self.made += 1
        producer = self._make(settings)
        return Losing(producer, self.number, self.later) if self.made <= self.times else producer
