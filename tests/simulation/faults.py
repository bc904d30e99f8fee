"""Everything that can go wrong in a run, one function each. It says whether it could happen just now."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation import strangers
from tests.simulation.owner import Owner
from tests.simulation.partition import Wire

if TYPE_CHECKING:
    from tests.simulation.world import World

OWNERS_MAX = 4
Fault = Callable[["World", Owner], bool]


def crash(world: "World", owner: Owner) -> bool:
    world.remove(owner)
    if not world.owners or world.random.random() < 0.7:
        world.join()
    return True


def move_to_another(world: "World", owner: Owner) -> bool:
    """A rebalance, of which the owner so far may hear late, or never."""
    del owner
    if len(world.owners) < OWNERS_MAX and world.random.random() < 0.6:
        world.join()
    else:
        world.random.shuffle(world.owners)
    return True


def lose_the_producer(world: "World", owner: Owner) -> bool:
    if owner.sequencer is None:
        return False
    owner.reopen("connection lost")
    world.collect(owner)
    return True


def crash_while_opening(world: "World", owner: Owner) -> bool:
    if owner.sequencer is None or owner.sequencer.is_open:
        return False
    return crash(world, owner)


def refuse_in_the_middle(world: "World", owner: Owner) -> bool:
    if not owner.wire.queue:
        return False
    later = world.random.randint(0, len(owner.wire.queue) - 1)
    failed = owner.wire.refuse(later, is_told_last=world.random.random() < 0.3)
    if world.random.random() < 0.3:
        world.counts["stray: missing record arrives after all"] += 1
        stray = Wire(world.partition)
        stray.send([failed])
        world.strays.append(stray)
    return True


def land_but_report_a_failure(world: "World", owner: Owner) -> bool:
    del world
    if not owner.wire.queue:
        return False
    owner.wire.land_unheard(None)
    return True


def land_but_report_no_offset(world: "World", owner: Owner) -> bool:
    del world
    if not owner.wire.queue:
        return False
    owner.wire.land_unheard(-1)
    return True


def land_a_stray(world: "World", owner: Owner) -> bool:
    del owner
    if not world.strays:
        return False
    wire = world.random.choice(world.strays)
    wire.land(1)
    if not wire.queue:
        world.strays.remove(wire)
    return True


def garbage_in_the_events(world: "World", owner: Owner) -> bool:
    del owner
    world.truth.read()
    kind = strangers.write_garbage(world.partition, world.random, world.truth.acceptance)
    world.counts[f"stranger: {kind}"] += 1
    return True


def forgery(world: "World", owner: Owner) -> bool:
    del owner
    world.truth.read()
    journals = [each for each in world.truth.journals.values() if each]
    if not journals or world.truth.acceptance.closed or world.random.random() < 0.7:
        return False
    world.forgeries[world.partition.end()] = world.truth.acceptance.epoch
    if world.random.random() < 0.3:
        strangers.forge_a_mark(world.partition, world.truth.acceptance)
        return True
    template = world.random.choice(world.random.choice(journals)).event
    strangers.forge(world.partition, world.truth.acceptance, template)
    return True


def database_goes_away(world: "World", owner: Owner) -> bool:
    del owner
    world.database.is_away = True
    return True


def blobs_go_away(world: "World", owner: Owner) -> bool:
    """What is put meanwhile may be left behind in halves."""
    del owner
    world.database.blobs.is_away = True
    return True


def a_blob_is_torn(world: "World", owner: Owner) -> bool:
    """Or lost."""
    del owner
    contents = world.database.blobs.contents
    if not contents:
        return False
    ref = world.random.choice(sorted(contents))
    if world.random.random() < 0.5:
        del contents[ref]
    else:
        contents[ref] = contents[ref][: len(contents[ref]) // 2]
    return True


def projector_crashes_in_a_batch(world: "World", owner: Owner) -> bool:
    del owner
    before = world.database.counts["projector crashed in a batch"]
    world.database.project(20, crash_at=world.random.randint(0, 5))
    return world.database.counts["projector crashed in a batch"] > before


def pause(world: "World", owner: Owner) -> bool:
    """The process stands still, and wakes up minutes later as if nothing had happened."""
    if owner.wakes_up_at > world.step:
        return False
    owner.wakes_up_at = world.step + world.random.choice((10, 40, 120))
    if world.random.random() < 0.5:
        world.now += 180_000_000
    if owner is world.owners[-1] and len(world.owners) < OWNERS_MAX:
        world.join()
    return True


def rebuild_the_database(world: "World", owner: Owner) -> bool:
    del owner
    world.database.rebuild()
    return True


def rot_in_the_database(world: "World", owner: Owner) -> bool:
    del owner
    workflows = sorted(key for key, kept in world.database.kept.items() if kept.journal)
    if not workflows:
        return False
    rotten = world.random.choice(workflows)
    world.database.rotten.add(rotten)
    world.ever_rotten.add(rotten)
    return True


def retention_takes_commands(world: "World", owner: Owner) -> bool:
    del owner
    topic = world.partition.commands
    topic.low = min(topic.end, topic.low + world.random.randint(1, 10))
    return True


def commands_topic_made_again(world: "World", owner: Owner) -> bool:
    del owner
    if world.random.random() < 0.7:
        return False
    world.partition.recreate_commands()
    return True


FAULTS: tuple[Fault, ...] = (
    crash, move_to_another, move_to_another, lose_the_producer, crash_while_opening, refuse_in_the_middle,
    refuse_in_the_middle, land_but_report_a_failure, land_but_report_no_offset, land_a_stray, land_a_stray,
    land_a_stray, garbage_in_the_events, forgery, database_goes_away, database_goes_away,
    blobs_go_away, a_blob_is_torn, projector_crashes_in_a_batch, projector_crashes_in_a_batch, pause, pause,
    rebuild_the_database, rot_in_the_database, retention_takes_commands, commands_topic_made_again,
)  # fmt: skip
