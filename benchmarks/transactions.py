"""`python -m benchmarks.transactions`: our append path beside a Kafka transaction for each batch, on a real broker.

The way of a command and nothing else: client → commands → sequencer → events → reply → client, with records of fixed
bytes in place of decisions, so that what differs is how the sequencer appends. It starts a broker of its own in a
temporary folder, plays every variant in every round, in another order each time, and prints medians. The machine is
shared by client, broker and sequencer: compare columns of one run, never numbers of two. See
docs/decisions/sequencing-without-transactions.md.
"""

import argparse
import itertools
import math
import multiprocessing
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from continuity import embedded, kafka, topics
from continuity.config import Settings
from continuity.errors import Retryable

CONCURRENCIES = (1, 8, 64, 256)
BATCH_MAX = 1_000
COMMAND_BYTES = 400
EVENT_BYTES = 1_000
WARM_UP_SECONDS = 0.7
GROUP = "benchmark"


class Variant(NamedTuple):
    """A way to append. `offsets`: the consumer's position travels in the transaction."""

    name: str
    transactional: bool
    offsets: bool = False
    in_flight: int = 1
    retry_backoff_ms: int = 1


VARIANTS = (
    Variant("transactions, offsets included", transactional=True, offsets=True),
    Variant("transactions, offsets left out", transactional=True),
    Variant("this protocol, 1 request in flight", transactional=False),
    Variant("this protocol, 5 requests in flight", transactional=False, in_flight=5),
    Variant("transactions, offsets included, default back-off", transactional=True, offsets=True, retry_backoff_ms=100),
)


def event_producer(settings: Settings, variant: Variant) -> Producer:
    """As `continuity.kafka.event_producer`, but for what the variant changes."""
    changed: dict[str, Any] = {
        "max.in.flight.requests.per.connection": variant.in_flight,
        "retry.backoff.ms": variant.retry_backoff_ms,
    }
    if variant.transactional:
        changed |= {"transactional.id": f"{GROUP}-{variant.name}", "message.timeout.ms": 30_000}
    else:
        changed["message.timeout.ms"] = 0
    return Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "broker.address.family": "v4",
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "log_level": 3,
            **changed,
        }
    )


class Sequencer:
    """The stand-in: takes commands, appends an event for each, replies once it is confirmed."""

    def __init__(self, settings: Settings, variant: Variant) -> None:
        self.settings, self.variant = settings, variant
        self.producer = event_producer(settings, variant)
        self.answers = kafka.answer_producer(settings)
        self.consumer = kafka.reader(settings, GROUP, **{"fetch.wait.max.ms": 500})
        self.in_flight = 0
        if variant.transactional:
            self.producer.init_transactions(30)

    def assign(self) -> None:
        """From the end of the commands topic on."""
        topic = self.settings.commands_topic
        places = []
        for partition in range(self.settings.partitions):
            _, end = kafka.watermarks(self.consumer, topic, partition)
            places.append(TopicPartition(topic, partition, end))
        self.consumer.assign(places)

    def step(self) -> None:
        """One batch, as the variant has it."""
        if self.in_flight:
            messages = self.consumer.consume(BATCH_MAX, 0)
        else:
            first = self.consumer.poll(0.1)
            messages = [] if first is None else [first, *self.consumer.consume(BATCH_MAX - 1, 0)]
        if self.variant.transactional:
            self._transaction(messages)
        else:
            self._append(messages)
            self.producer.poll(0.001 if self.in_flight else 0)
        self.answers.poll(0)

    def _append(self, messages: list[Any]) -> None:
        for message in messages:
            self.in_flight += 1
            self.producer.produce(
                self.settings.events_topic, b"e" * EVENT_BYTES, partition=message.partition(),
                on_delivery=partial(self._confirmed, message.value()),
            )  # fmt: skip

    def _confirmed(self, value: bytes, error: KafkaError | None, _: Message) -> None:
        assert error is None, error
        self.in_flight -= 1
        self._reply(value)

    def _transaction(self, messages: list[Any]) -> None:
        if not messages:
            return
        self.producer.begin_transaction()
        for message in messages:
            self.producer.produce(self.settings.events_topic, b"e" * EVENT_BYTES, partition=message.partition())
        if self.variant.offsets:
            places = {message.partition(): message.offset() + 1 for message in messages}
            offsets = [TopicPartition(self.settings.commands_topic, each, at) for each, at in places.items()]
            self.producer.send_offsets_to_transaction(offsets, self.consumer.consumer_group_metadata(), 30)
        self.producer.commit_transaction(30)
        for message in messages:
            self._reply(message.value())

    def _reply(self, value: bytes) -> None:
        self.answers.produce(self.settings.replies_topic, value[:8], partition=0)


def sequence(settings: Settings, variant: Variant, ready: Flag, stop: Flag) -> None:
    """A sequencer process."""
    sequencer = Sequencer(settings, variant)
    sequencer.assign()
    ready.set()
    while not stop.is_set():
        sequencer.step()
    sequencer.producer.flush(5)
    sequencer.answers.flush(5)
    sequencer.consumer.close()


class Measured(NamedTuple):
    """Commands per second, the median of their times, and the processor time that broker and sequencer spent on each.

    The last is what a busy machine disturbs least.
    """

    rate: float
    p50_ms: float
    cpu_us: float


def _cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


class Client:
    """Keeps so many commands in flight, and notes how long each took."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = kafka.command_producer(settings, 30)
        self.consumer: Consumer = kafka.reader(settings, "benchmark-client", **{"fetch.wait.max.ms": 100})
        _, end = kafka.watermarks(self.consumer, settings.replies_topic, 0)
        self.consumer.assign([TopicPartition(settings.replies_topic, 0, end)])
        self.sent: dict[int, float] = {}
        self.number = 0

    def measure(self, concurrency: int, seconds: float, watched: Sequence[psutil.Process]) -> Measured:
        """Keep `concurrency` commands in flight; `watched` are the broker and the sequencer."""
        for _ in range(concurrency):
            self._send()
        begin = time.perf_counter()
        while time.perf_counter() < begin + WARM_UP_SECONDS:
            self._receive(send=True)
        times: list[float] = []
        begin, cpu = time.perf_counter(), _cpu_seconds(watched)
        while time.perf_counter() < begin + seconds:
            times += self._receive(send=True)
        took, cpu = time.perf_counter() - begin, _cpu_seconds(watched) - cpu
        while self.sent:
            self._receive(send=False)
        if not times:
            return Measured(0.0, math.inf, math.inf)
        return Measured(len(times) / took, statistics.median(times) * 1e3, cpu / len(times) * 1e6)

    def _send(self) -> None:
        self.number += 1
        self.sent[self.number] = time.perf_counter()
        self.producer.produce(
            self.settings.commands_topic,
            self.number.to_bytes(8, "big") + b"c" * (COMMAND_BYTES - 8),
            partition=self.number % self.settings.partitions,
        )

    def _receive(self, *, send: bool) -> list[float]:
        first = self.consumer.poll(0.02)
        self.producer.poll(0)
        if first is None:
            return []
        took = []
        for message in [first, *self.consumer.consume(BATCH_MAX, 0)]:
            began = self.sent.pop(int.from_bytes(message.value() or b"", "big"), None)
            if began is None:
                continue
            took.append(time.perf_counter() - began)
            if send:
                self._send()
        return took


@contextmanager
def sequencer_process(settings: Settings, variant: Variant) -> Iterator[psutil.Process]:
    """A sequencer of this variant, ready."""
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    process = context.Process(target=sequence, args=(settings, variant, ready, stop))
    process.start()
    assert ready.wait(60), "the sequencer did not start"
    try:
        yield psutil.Process(process.pid)
    finally:
        stop.set()
        process.join()


def sync_internal_topics(settings: Settings) -> None:
    """A commit is as durable as its record in the coordinator's topics: make those mean disk, too."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    entry = ConfigEntry("flush.messages", "1", incremental_operation=AlterConfigOpType.SET)
    resources = [
        ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
        for name in ("__transaction_state", "__consumer_offsets")
    ]
    for future in admin.incremental_alter_configs(resources).values():
        future.result(30)


def _create_topics(settings: Settings) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return topics.create(settings)
        except Retryable:  # made, and not led yet
            if time.monotonic() > deadline:
                raise


Key = tuple[bool, str, int]
Results = dict[Key, list[Measured]]


def run(settings: Settings, broker: psutil.Process, *, rounds: int, seconds: float) -> Results:
    """All variants in every round, one after the other at the same concurrency; first unsynced, then synced."""
    results: Results = {}
    for synced in (False, True):
        prefix = "synced" if synced else "plain"
        world = settings.with_values(topic_prefix=prefix, flush_every_message=synced)
        _create_topics(world)
        if synced:
            sync_internal_topics(settings)  # they stay so: therefore not round by round
        for number, concurrency in itertools.product(range(rounds), CONCURRENCIES):
            for variant in random.sample(VARIANTS, len(VARIANTS)):
                with sequencer_process(world, variant) as sequencer:
                    measured = Client(world).measure(concurrency, seconds, (broker, sequencer))
                results.setdefault((synced, variant.name, concurrency), []).append(measured)
            print(f"{prefix}: round {number + 1} of {rounds}, c={concurrency}", file=sys.stderr, flush=True)
    return results


def tables(results: Results) -> str:
    """Medians over the rounds as Markdown: rates and times, then ratios of the rates within each round, then cost."""
    names = [each.name for each in VARIANTS]
    compared = VARIANTS[1].name

    def rate(key: Key) -> str:
        found = results[key]
        low, high = min(each.rate for each in found), max(each.rate for each in found)
        middle, p50 = statistics.median(each.rate for each in found), statistics.median(each.p50_ms for each in found)
        return f"{middle:,.0f}/s ({low:,.0f}-{high:,.0f}), {p50:.1f} ms"

    def ratio(key: Key) -> str:
        pairs = zip(results[key], results[key[0], compared, key[2]], strict=True)
        return f"{statistics.median(each.rate / other.rate for each, other in pairs if other.rate):.1f}"

    def cost(key: Key) -> str:
        return f"{statistics.median(each.cpu_us for each in results[key]):,.0f} µs"

    titles = {
        "commands per second (lowest-highest round), p50": rate,
        f"rate, relative to '{compared}' in the same round": ratio,
        "processor time of broker and sequencer for each command": cost,
    }
    lines = []
    for title, cell in titles.items():
        lines += ["", f"| {title} | " + " | ".join(f"c={each}" for each in CONCURRENCIES) + " |", "|---" * 5 + "|"]
        for synced, name in itertools.product((False, True), names):
            cells = [cell((synced, name, each)) for each in CONCURRENCIES]
            lines.append(f"| {name}{', synced' if synced else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Start a broker, measure, print, stop it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments.add_argument("--partitions", type=int, default=1)
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="continuity-benchmark-"))
    folder.chmod(0o711)
    settings = Settings(data_dir=folder / "home", partitions=given.partitions)
    try:
        started = embedded.up(settings, services=(), owner_pid=os.getpid())
        parts = embedded.status(started)["parts"]
        broker = psutil.Process(next(each["pid"] for each in parts if each["name"] == "broker"))
        results = run(started, broker, rounds=given.rounds, seconds=given.seconds)
    finally:
        embedded.down(settings)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(f"{given.partitions} partition(s), events of {EVENT_BYTES} bytes")
    print(f"medians of {given.rounds} rounds of {given.seconds} s; load average at the end {os.getloadavg()[0]:.1f}")
    print(tables(results))


if __name__ == "__main__":
    main()
