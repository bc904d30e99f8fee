"""Commands out, replies in: one thread, one producer, one reader of the partition where this instance is answered.

Each attempt carries a correlation of its own, so a late reply to an earlier attempt is never taken for this one's.
An attempt that is not answered in time, or answered `unavailable`, is sent again with the same command_id until the
deadline; the sequencer answers a repeat as a duplicate.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from continuity import codec, kafka, topics
from continuity.codec import ReplyTo
from continuity.config import Settings
from continuity.core.records import Command
from continuity.errors import ContinuityError, Retryable
from continuity.producers.request import Outcome, Wait, durable_outcome, outcome_of_reply

IN_FLIGHT_MAX = 10_000
ATTEMPT_SECONDS = 2.0
RETRY_SECONDS = 0.05
READY_SECONDS = 1.0
POLL_SECONDS = 0.02
BATCH_MAX = 1_000


@dataclass(slots=True)
class _Pending:
    """A command that waits for its outcome. `due` is when the next attempt is made."""

    command: Command
    future: "Future[Outcome]"
    wait: Wait
    deadline: float
    due: float
    correlation: str = ""
    attempts: int = 0


class Exchange:
    """Thread-safe. `settle` is called in the exchange's thread with futures and what to set on them."""

    def __init__(
        self,
        settings: Settings,
        settle: "Callable[[list[tuple[Future[Outcome], Outcome | ContinuityError]]], None] | None" = None,
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self._settings = settings
        self._settle = settle or settle_here
        self._in_flight_max = in_flight_max
        self._instance = uuid4().hex[:12]
        self._prefix = f"{self._instance}-".encode()
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._settled: list[tuple[Future[Outcome], Outcome | ContinuityError]] = []
        self._outbox: list[tuple[_Pending, dict[str, Any]]] = []
        self._attempts = 0
        self._stop = threading.Event()
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None
        self._reply_partition = 0
        self._thread = threading.Thread(target=self._run, name="continuity-exchange", daemon=True)

    def start(self) -> None:
        """Connect, and begin to listen before anything is sent.

        Raises Retryable while the broker is away, and ConfigError when the topics are not what the settings say: with
        another number of partitions, commands would reach a partition that is not their workflow's.
        """
        topics.check(self._settings)
        consumer = kafka.reader(self._settings, "replies", **{"fetch.wait.max.ms": 100})
        try:
            partitions = kafka.partitions_of(consumer, self._settings.replies_topic)
            self._reply_partition = random.randrange(partitions)  # noqa: S311 - spreads load
            _, end = kafka.watermarks(consumer, self._settings.replies_topic, self._reply_partition)
        except Retryable:
            consumer.close()
            raise
        consumer.assign([TopicPartition(self._settings.replies_topic, self._reply_partition, end)])
        self._consumer = consumer
        self._producer = kafka.command_producer(self._settings, kafka.TIMEOUT_SECONDS)
        self._thread.start()

    def ready(self) -> None:
        """Raise Retryable while the broker does not answer."""
        assert self._producer is not None, "The exchange was not started."
        # Asked by the producer: on the consumer's connection the answer stands behind a fetch (seen: up to 28 s).
        kafka.translated(self._producer.list_topics, self._settings.commands_topic, timeout=READY_SECONDS)

    def close(self) -> None:
        """Stop; whatever still waits gets Retryable, because its outcome is unknown."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._producer is not None:
            self._producer.flush(1.0)
            self._producer = None  # its threads end with the last reference, and so do their complaints about a broker
        if self._consumer is not None:
            self._consumer.close()
        for pending in list(self._pending.values()):
            self._finish(pending, Retryable("The client was closed before the outcome was known."))
        self._flush_settled()

    def submit(self, command: Command, wait: Wait, deadline_seconds: float, future: "Future[Outcome]") -> bool:
        """Put a command whose form was checked into the outbox; whether it is the first there. `post` sends them.

        Raises Retryable (`overloaded`) when too many are on the way.
        """
        now = time.monotonic()
        with self._lock:
            if len(self._pending) >= self._in_flight_max:
                raise Retryable(
                    f"{len(self._pending)} commands are on the way already.", code="overloaded", retry_after_seconds=0.5
                )
            self._attempt(_Pending(command, future, wait, now + deadline_seconds, now), now)
            return len(self._outbox) == 1

    def post(self) -> None:
        """Send what is in the outbox, in one step: one by one, the first would leave alone and the others wait."""
        with self._lock:
            self._post()

    # In the caller's thread or ours, under the lock

    def _attempt(self, pending: _Pending, now: float) -> None:
        self._pending.pop(pending.correlation, None)
        self._attempts += 1
        pending.attempts += 1
        pending.correlation = f"{self._instance}-{self._attempts}"
        pending.due = now + ATTEMPT_SECONDS
        self._pending[pending.correlation] = pending
        message: dict[str, Any] = {"key": pending.command.workflow_id}
        if pending.wait == "durable":
            message["value"] = codec.encode_command(pending.command, None)
            message["callback"] = self._on_durable(pending)
        else:
            reply_to = ReplyTo(self._reply_partition, pending.correlation)
            message["value"] = codec.encode_command(pending.command, reply_to)
        self._outbox.append((pending, message))

    def _post(self) -> None:
        if not self._outbox:
            return
        outbox, self._outbox = self._outbox, []
        assert self._producer is not None, "The exchange was not started."
        messages = [message for _, message in outbox]
        if kafka.produce(self._producer, self._settings.commands_topic, messages, kafka.BY_KEY) is None:
            return
        now = time.monotonic()
        for pending, message in outbox:
            if "_error" in message:
                pending.due = now + RETRY_SECONDS  # the queue is full: it drains, or the deadline comes

    def _on_durable(self, pending: _Pending) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self._finish(
                    pending, durable_outcome(pending.command, message.partition() or 0, kafka.offset_of(message))
                )
            else:
                pending.due = time.monotonic() + RETRY_SECONDS

        return delivered

    # In our thread

    def _run(self) -> None:
        assert self._consumer is not None
        assert self._producer is not None
        next_sweep = time.monotonic()
        while not self._stop.is_set():
            try:
                first = self._consumer.poll(POLL_SECONDS)
                if first is not None:
                    self._receive(first)
                    for message in self._consumer.consume(BATCH_MAX, 0):
                        self._receive(message)
            except KafkaException:
                self._stop.wait(POLL_SECONDS)
            self._producer.poll(0)
            self._flush_settled()
            now = time.monotonic()
            if now >= next_sweep:
                self._sweep(now)
                next_sweep = now + POLL_SECONDS

    def _receive(self, message: Message) -> None:
        key = message.key()
        if message.error() is not None or not isinstance(key, bytes) or not key.startswith(self._prefix):
            return  # another instance's, or the connection's: an attempt that is not answered is repeated
        pending = self._pending.get(key.decode())
        if pending is None:
            return
        try:
            reply = codec.decode_reply(message.value())
        except codec.Undecodable:
            return
        if reply["status"] == "unavailable":
            pending.due = time.monotonic() + RETRY_SECONDS * pending.attempts
        else:
            self._finish(pending, outcome_of_reply(reply))

    def _sweep(self, now: float) -> None:
        with self._lock:
            for pending in [each for each in self._pending.values() if each.due <= now or each.deadline <= now]:
                if pending.deadline <= now:
                    detail = f"No outcome of command {pending.command.command_id} within its deadline."
                    self._finish(pending, Retryable(detail, code="unavailable"))
                else:
                    self._attempt(pending, now)
            self._post()
        self._flush_settled()

    def _finish(self, pending: _Pending, result: Outcome | ContinuityError) -> None:
        if self._pending.pop(pending.correlation, None) is not None:
            self._settled.append((pending.future, result))

    def _flush_settled(self) -> None:
        if self._settled:
            settled, self._settled = self._settled, []
            self._settle(settled)


def settle_here(settled: "list[tuple[Future[Outcome], Outcome | ContinuityError]]") -> None:
    """Set results in the calling thread."""
    for future, result in settled:
        if future.done():
            continue  # the caller gave up
        if isinstance(result, ContinuityError):
            future.set_exception(result)
        else:
            future.set_result(result)
