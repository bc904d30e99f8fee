"""Everything decided once more: for each accepted epoch, in order, all command records that it speaks for.

Renewals are in no record: they lived in the memory of the owner. So they are made again here, from the commands alone
and by these few lines, and not by the product's: who renewed, was granted something, or had a command accepted under
its token, was alive then; and nobody is gone before a whole ttl of the epoch has passed.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from continuity import codec
from continuity.core import ids
from continuity.core.acceptance import Verdict
from continuity.core.decide import decide
from continuity.core.history import origin
from continuity.core.liveness import SECOND, Liveness
from continuity.core.outcome import Accepted, Answered, Outcome, Rejected
from continuity.core.records import Command
from continuity.core.state import State
from continuity.processors import CommandRecord
from tests.simulation.partition import PARTITION, PARTITIONS
from tests.simulation.truth import Place, Record

if TYPE_CHECKING:
    from tests.simulation.world import World


class Epoch(NamedTuple):
    """One that was accepted. Its owner decided the offsets from `first`; what it wrote counts up to `last`.

    `behind`: how far the broker's clock stood, at the first of them, behind what it had shown before.
    """

    record: Record
    first: int
    last: int


class Decision(NamedTuple):
    """What a command record had to come to. No `outcome`: the owner could not read the workflow.

    `now` is the time that counted, `recorded` and `expiries` are when the grants that it met run out: as the log has
    it, and with the renewals of the epoch; `renewed` are the tokens that it had renewed.
    """

    epoch: int
    command: Command | None
    outcome: Outcome | None
    now: int
    behind: int
    recorded: Mapping[int, int]
    expiries: Mapping[int, int]
    renewed: frozenset[int]


def replay(world: "World") -> dict[Place, Decision]:
    """All of them, by the place of the command record."""
    turned_away = {
        (batch.sequencer_id, offset): code
        for batch in world.all_batches()
        for offset, code in batch.turned_away.items()
    }
    decisions: dict[Place, Decision] = {}
    newest = 0
    for epoch in epochs(world):
        generation, owner = epoch.record.place[0], epoch.record.event["sequencer_id"]
        records = world.topic(generation).records[epoch.first : epoch.last + 1]
        memory = _Memory(world, epoch, max(0, newest - records[0].timestamp) if records else 0)
        for record in records:
            away = (owner, record.offset) in turned_away
            decisions[generation, record.offset] = memory.decide(record, is_readable=not away)
            newest = max(newest, record.timestamp)
    return decisions


def epochs(world: "World") -> Iterator[Epoch]:
    """In their order. What was forged in an owner's name is none of its own."""
    epoch: Epoch | None = None
    for record in world.truth.accepted:
        offset = record.place[1]
        if record.verdict is Verdict.EPOCH:
            if epoch is not None:
                yield epoch
            epoch = Epoch(record, offset + 1, offset)
        elif epoch is not None and record.offset not in world.forgeries:
            epoch = epoch._replace(last=max(epoch.last, offset))
    if epoch is not None:
        yield epoch


class _Memory:
    """What the owner of an epoch remembers while it lasts."""

    def __init__(self, world: "World", epoch: Epoch, behind: int) -> None:
        self.world = world
        self.epoch = epoch
        self.behind = behind
        self.opened_at: int | None = None
        self.renewed: dict[str, dict[int, int]] = {}

    def decide(self, record: CommandRecord, *, is_readable: bool) -> Decision:
        """The next command record."""
        if self.opened_at is None:
            self.opened_at = record.timestamp
        command = _decoded(record)
        state = self._met(command, record.offset)
        alive = self.renewed.setdefault(state.workflow_id, {})
        liveness = Liveness(dict(alive), self.opened_at)
        outcome = self._outcome(record, command, state, liveness) if is_readable else None
        if outcome is not None:
            self._remember(outcome, state, record.timestamp)
        recorded = {grant["token"]: ids.micros_of(grant["expires_at"]) for grant in state.grants.values()}
        expiries = {
            grant["token"]: max(
                recorded[grant["token"]],
                self.opened_at + grant["ttl_seconds"] * SECOND,
                liveness.renewed.get(grant["token"], 0) + grant["ttl_seconds"] * SECOND,
            )
            for grant in state.grants.values()
        }
        now = max(record.timestamp, state.head_timestamp)
        number = self.epoch.record.event["epoch"]
        return Decision(number, command, outcome, now, self.behind, recorded, expiries, frozenset(liveness.renewed))

    def _met(self, command: Command | None, offset: int) -> State:
        if command is None:
            return State(ids.NIL)
        return self.world.truth.state_before(command.workflow_id, (self.epoch.record.place[0], offset))

    def _outcome(self, record: CommandRecord, command: Command | None, state: State, liveness: Liveness) -> Outcome:
        if command is None:
            return Rejected("poison", "")
        if command.workflow_id != ids.workflow_id(command.tenant, command.project):
            return Rejected("invalid_field", "")
        if ids.partition_of(command.workflow_id, PARTITIONS) != PARTITION:
            return Rejected("wrong_partition", "")
        return decide(state, command, record.timestamp, liveness, self._past(command, state))

    def _past(self, command: Command, state: State) -> State | None:
        wanted = origin(command)
        if wanted is None:
            return None
        is_fork = wanted[0] != state.workflow_id
        if state.head_seq if is_fork else wanted[1] >= state.head_seq:
            return None
        return self.world.truth.histories[wanted[0]][wanted[1]]

    def _remember(self, outcome: Outcome, state: State, timestamp: int) -> None:
        if isinstance(outcome, Accepted):
            state, token = outcome.state, outcome.event["fencing_token"]
        else:
            token = outcome.renewed if isinstance(outcome, Answered) else None
        if token is not None and any(grant["token"] == token for grant in state.grants.values()):
            alive = self.renewed.setdefault(state.workflow_id, {})
            alive[token] = max(timestamp, state.head_timestamp, alive.get(token, 0))


def _decoded(record: CommandRecord) -> Command | None:
    try:
        return codec.decode_command(record.value)[0]
    except codec.Undecodable:
        return None
