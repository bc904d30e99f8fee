"""One seed, one run: everything that happens to one partition, drawn from one random number generator.

A run has two halves. In the first, faults of every kind fall between the steps of up to four owners at once. Then they
end: one owner, a database that answers, clients that repeat; and everybody has to be answered within a bounded number
of rounds. `run` ends with all checkers.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from itertools import islice
from random import Random
from typing import NamedTuple
from unittest.mock import patch

from continuity import codec
from continuity.codec import Reply
from continuity.core import snapshot, window
from continuity.core.snapshot import Policy
from continuity.processors import Answer, CommandRecord
from continuity.processors.tail import TAIL_BYTES_MAX, Tail
from tests.simulation import checkers, faults
from tests.simulation.clients import Clients
from tests.simulation.database import Database
from tests.simulation.executors import Executors
from tests.simulation.owner import Batch, Owner
from tests.simulation.partition import CommandsTopic, Partition, Wire
from tests.simulation.reached import reached
from tests.simulation.replay import Decision, replay
from tests.simulation.truth import Place, Truth

NOON = 1_800_000_000_000_000
STEPS = 300
HURRY_AFTER_STEPS = 1_500
"""Where executors vanish all the time, a run would hardly come to its commands: from here on the others do more."""
COMMANDS_MIN = 200
BEGINNING_ROUNDS = 12
SETTLING_ROUNDS_MAX = 300
SETTLING_RECORDS_MAX = 40


class Told(NamedTuple):
    """An answer that was released: by whom, about which record, and what. Without a reply, nobody had asked."""

    sequencer_id: str
    place: Place
    status: str
    code: str | None
    detail: str | None
    reply: Reply | None


class World:
    """`run` is all there is to it; `counts` says afterwards what happened, and how often."""

    def __init__(
        self, seed: int, steps: int = STEPS, commands_min: int = COMMANDS_MIN, without: frozenset[str] = frozenset()
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.steps = steps
        self.commands_min = commands_min
        self.without = without
        self.trace: list[str] = []
        self.now = NOON
        self.step = 0
        self.window_slots = self.random.choice((4, 8, 256, 256))
        self.tail_bytes_max = self.random.choice((2_500, TAIL_BYTES_MAX, TAIL_BYTES_MAX))
        self.projector_pace = self.random.choice((0.01, 0.1, 0.1))
        self.partition = Partition()
        policy = Policy(every_events=self.random.choice((3, 20, 100)), inline_bytes_max=self.random.choice((0, 64_000)))
        self.database = Database(self.partition, self.random, policy)
        self.truth = Truth(self.partition)
        self.clients = Clients(self.partition, self.random, projects=self.random.choice((2, 2, 3)))
        vanishing, self.executing = self.random.choice(((0.05, 0.4), (0.1, 0.7), (0.1, 0.9), (0.3, 0.9), (0.95, 0.98)))
        self.executors = Executors(self.clients, self.random, vanishing)
        self.told: list[Told] = []
        self.owners: list[Owner] = []
        self.gone: list[Owner] = []
        self.strays: list[Wire] = []
        self.newest_version = 1
        self.forgeries: dict[int, int] = {}
        self.ever_rotten: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.calm = self.random.choice((0.0, 0.4, 0.8, 0.8, 0.95))
        self.join()

    # What the checkers ask

    def topic(self, generation: int) -> CommandsTopic:
        return next(each for each in self.partition.topics if each.topic_id == self.truth.topics[generation])

    def record(self, place: Place) -> CommandRecord:
        return self.topic(place[0]).records[place[1]]

    def all_batches(self) -> Iterator[Batch]:
        for owner in (*self.gone, *self.owners):
            yield from owner.batches

    @cached_property
    def decisions(self) -> dict[Place, Decision]:
        """Everything decided once more. For when the run has ended."""
        return replay(self)

    def digest(self) -> str:
        """Of all that was written and told."""
        hashed = sha256()
        for value in self.partition.events:
            hashed.update(value)
        for told in self.told:
            hashed.update(repr(told).encode())
        return hashed.hexdigest()

    # A run

    def run(self) -> "World":
        with self._sizes():
            if self.random.random() < 0.6:
                self._begin()
            while self.step < self.steps or len(self.clients.wanted) < self.commands_min:
                self.step += 1
                self._act()
                self.truth.read()
                if self.step % 10 == 0:
                    checkers.warm_states_are_folds_of_the_log(self)
            self._settle()
            for check in checkers.AT_THE_END:
                check(self)
        self._sum_up()
        return self

    @contextmanager
    def _sizes(self) -> Iterator[None]:
        """A short idempotency window rolls over, and a small tail overflows, in a short run."""
        small_window = patch.object(snapshot, "SLOTS", self.window_slots)
        small_tail = patch.object(Tail.__init__, "__defaults__", (self.tail_bytes_max,))
        with patch.object(window, "SLOTS", self.window_slots), small_window, small_tail:
            yield

    def _begin(self) -> None:
        """With something to do, so that a short run gets further."""
        self.clients.send_a_beginning(self.now)
        for _ in range(BEGINNING_ROUNDS):
            self._settling_round(self.owners[0])
            self.truth.read()

    def _act(self) -> None:
        self._pass_time()
        dice = self.random.random()
        if dice < 0.5:
            asked = len(self.clients.wanted)
            self._ask()
            for wanted in islice(self.clients.wanted.values(), asked, None):
                command = wanted.command
                self.note(f"{command.project} {command.command_type} {command.body} token {command.fencing_token}")
        elif dice < 0.9 or self.random.random() < self.calm:
            self._go_on(self._someone())
        else:
            self._suffer()
        if self.database.is_away and self.random.random() < 0.1:
            self.database.is_away = False
        if self.database.blobs.is_away and self.random.random() < 0.1:
            self.database.blobs.is_away = False

    def _pass_time(self) -> None:
        """Mostly little; now and then more than a ttl, or to the very microsecond at which a grant runs out."""
        self.now += self.random.choice((0, 0, 1_000, 250_000))
        if self.random.random() < 0.02:
            ahead = [(expiry, holder) for expiry, holder in self.executors.expiries if expiry > self.now]
            if ahead and self.random.random() < 0.5:
                self.now, holder = self.random.choice(ahead)
                self.executors.act_at_the_end(holder, self.now, self.step)
                self.counts["clock: at an expiry"] += 1
            else:
                self.now += self.random.choice((1_500_000, 6_000_000, 100_000_000))
                self.counts["clock: jumps"] += 1

    def _ask(self) -> None:
        dice, now = self.random.random(), self.now
        if self.random.random() < 0.03:
            now -= 5_000_000
            self.counts["clock: back"] += 1
        if dice < 0.75:
            executing = self.executing if self.step < HURRY_AFTER_STEPS else self.executing / 2
            if self.random.random() < executing:
                self.executors.act(now, self.step)
            else:
                self.clients.send_new(now, self.step)
        elif dice < 0.85:
            self.clients.repeat_any(now)
        elif dice < 0.9:
            self.clients.reuse_an_id(now)
        elif dice < 0.95:
            self.counts[f"command: {self.clients.send_nonsense(now)}"] += 1
        self.clients.retry_late(now, self.step)

    def _someone(self) -> Owner:
        """Mostly the one that the group believes in; now and then another, that has not noticed."""
        return self.owners[-1] if self.random.random() < 0.8 else self.random.choice(self.owners)

    def _go_on(self, owner: Owner) -> None:
        if owner.wakes_up_at > self.step:
            return
        if owner.sequencer is None:
            if owner is self.owners[-1] or self.random.random() < 0.1:
                self._open(owner)
            return
        dice = self.random.random()
        if dice < 0.35:
            if owner.work():
                checkers.the_cache_is_bounded(owner)
                self.note(f"{self._name(owner)} decides up to {owner.batches[-1].records[-1:]}")
        elif dice < 0.6:
            owner.wire.land(self.random.randint(1, 4))
            self.note(f"{self._name(owner)}'s records are in the log up to {self.partition.end()}")
        elif dice < 1 - self.projector_pace:
            for _ in range(self.random.randint(1, 4)):
                owner.hear()
        else:
            self.database.project(self.random.choice((1, 3, 10, 100)))
        self.collect(owner)

    def _open(self, owner: Owner) -> None:
        adopt = owner.is_stuck and self.random.random() < 0.5
        owner.open(forced_by="ada" if adopt else None)
        self.note(f"{self._name(owner)} {'opens' if owner.sequencer else 'does not open'}")
        if owner.has_left:
            self.remove(owner)
            self.join()

    def join(self) -> None:
        """Another process, which the group believes in from now on."""
        self.newest_version += self.random.random() < 0.15
        outdated = self.newest_version > 1 and self.random.random() < 0.1
        version = self.newest_version - outdated
        workflows_max = self.random.choice((1, 2, 3, 100))
        self.owners.append(Owner(self.database, version, workflows_max, self.random, self.publish))

    def remove(self, owner: Owner) -> None:
        owner.abandoned.append(owner.wire)
        self.collect(owner)
        self.owners.remove(owner)
        self.gone.append(owner)

    def collect(self, owner: Owner) -> None:
        """Some of what a producer that is thrown away had sent is on its way all the same."""
        for wire in owner.abandoned:
            kept = self.random.randint(0, len(wire.queue))
            while len(wire.queue) > kept:
                wire.queue.pop()
                self.counts["stray: suffix lost"] += 1
            if len(wire.queue) > 1 and self.random.random() < 0.2:
                del wire.queue[self.random.randrange(len(wire.queue) - 1)]
                self.counts["stray: middle lost"] += 1
            if wire.queue:
                self.strays.append(wire)
        owner.abandoned.clear()

    def publish(self, sequencer_id: str, answer: Answer) -> None:
        reply, rejection = answer.reply, answer.rejection
        if reply is not None and answer.reply_to is not None:
            place = (reply["source_generation"], reply["source_offset"])
            self.told.append(Told(sequencer_id, place, reply["status"], reply["code"], reply["detail"], reply))
            self.note(f"{sequencer_id[:4]} tells {place}: {reply['status']} {reply['code'] or reply['event_seq']}")
            if self.random.random() < 0.95:
                self.clients.hear(codec.decode_reply(codec.encode_reply(reply)), answer.reply_to.correlation)
            else:
                self.counts["reply: lost"] += 1
        elif rejection is not None:
            place = (rejection["source_generation"], rejection["source_offset"])
            status = "unavailable" if rejection["code"] == "unavailable" else "refused"
            self.told.append(Told(sequencer_id, place, status, rejection["code"], rejection["detail"], None))

    def note(self, text: str) -> None:
        """A line for whoever looks at a run that broke."""
        self.trace.append(f"{self.step:>5} +{(self.now - NOON) / 1e6:.1f} s  {text}")

    @staticmethod
    def _name(owner: Owner) -> str:
        return owner.sequencer.sequencer_id[:4] if owner.sequencer else "an owner"

    # Faults

    def _suffer(self) -> None:
        fault = self.random.choice(faults.FAULTS)
        if fault.__name__ not in self.without and fault(self, self._someone()):
            self.counts[f"fault: {fault.__name__}"] += 1
            self.note(f"FAULT {fault.__name__}")

    # The end of the faults

    def _settle(self) -> None:
        self.database.is_away = self.database.blobs.is_away = False
        if self.database.rotten or self.random.random() < 0.3:
            self.database.rebuild()
        while self.strays:
            faults.land_a_stray(self, self.owners[-1])
        while len(self.owners) > 1:
            self.remove(self.owners[0])
        self.strays.clear()
        self.owners[0].version = self.newest_version
        self.owners[0].wakes_up_at = 0
        waiting = self.partition.commands.end  # of which a round takes one at least
        for round_number in range(SETTLING_ROUNDS_MAX + waiting):
            self.step += 1
            self._settling_round(self.owners[0])
            self.truth.read()
            if not self.clients.unanswered and not self.owners[0].wire.queue and not self.owners[0].wire.reports:
                self.counts["rounds to settle"] = max(self.counts["rounds to settle"], round_number)
                break
        for _ in range(SETTLING_ROUNDS_MAX):
            if self.database.projected.offset == self.partition.end():
                break
            self.database.project(1_000)

    def _settling_round(self, owner: Owner) -> None:
        self.now += 1_000
        self.clients.retry_late(self.now, self.step, patience=20)
        if owner.sequencer is None:
            owner.open(forced_by="ada" if owner.is_stuck else None)
        owner.work(SETTLING_RECORDS_MAX)
        owner.wire.land(100)
        while owner.wire.reports:
            owner.hear()
        self.database.project(100)

    def _sum_up(self) -> None:
        for owner in (*self.gone, *self.owners):
            self.counts.update(owner.counts)
            self.counts["restored"] += sum(len(batch.looks.asked) for batch in owner.batches)
        self.counts.update({f"database: {name}": number for name, number in self.database.counts.items()})
        self.counts.update({f"record: {name}": number for name, number in self.truth.verdicts.items()})
        self.counts.update(f"told: {told.status} {told.code or ''}".strip() for told in self.told)
        self.counts.update(reached(self))
        self.counts["executor vanished"] += self.executors.vanished
        self.counts["blob torn"] += self.database.blobs.torn
        self.counts["effect repeated under its key"] += sum(
            count > 1 for keys in self.executors.effects.values() for count in keys.values()
        )
        self.counts["workflows stopped"] += len(self.truth.stopped)
        rolled = sum(len(each) > self.window_slots for each in self.truth.journals.values())
        self.counts["window rolled over"] += rolled
