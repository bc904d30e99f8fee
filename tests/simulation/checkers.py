"""One checker for each invariant. Each takes the world after a run (or in between) and raises `Broken` with its name.

None of them looks into a sequencer: they compare what was told to clients with what every reader of the log accepts.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from continuity.core.acceptance import Verdict
from continuity.core.next_step import next_step
from continuity.core.records import SEQUENCER_EPOCH
from continuity.core.restore import restore
from continuity.core.state import State
from continuity.errors import IntegrityError
from tests.simulation.broken import Broken
from tests.simulation.holders import (
    a_fenced_executor_commits_nothing,
    attempts_are_numbered_without_gaps,
    five_silent_deaths_block,
    late_results_are_kept,
    nobody_is_replaced_before_the_expiry_that_was_promised,
    one_completion_per_step_for_ever,
    one_effect_for_one_key,
    the_audit_finds_nothing,
    there_is_one_live_holder,
    tokens_only_grow,
)
from tests.simulation.justification import (
    a_duplicate_is_of_the_same_command,
    cited_expiries_are_those_that_counted,
    every_answer_is_what_the_replay_gives,
    every_command_that_is_allowed_is_a_fact,
    every_fact_is_what_its_command_asked,
    every_outage_was_there,
    nobody_answers_for_what_is_not_in_the_log,
    nobody_waits_for_what_has_run_out,
)
from tests.simulation.owner import Owner

if TYPE_CHECKING:
    from tests.simulation.world import World


# The log


def sequences_have_no_holes(world: "World") -> None:
    for workflow_id, journal in world.truth.journals.items():
        seqs = [fact.event["event_seq"] for fact in journal]
        if seqs != list(range(1, len(seqs) + 1)):
            raise Broken(sequences_have_no_holes, f"{workflow_id}: {seqs}")


def nothing_is_stopped_but_by_forgery(world: "World") -> None:
    """A forged record takes a number of the owner's. What that owner had on its way then counts without the record that
    had the number, so another of its chains may break too; after its epoch, none."""
    for workflow_id, record in world.truth.stopped.items():
        forged = [at for at, epoch in world.forgeries.items() if at <= record.offset and epoch == record.event["epoch"]]
        if not forged:
            raise Broken(nothing_is_stopped_but_by_forgery, f"an honest owner broke {workflow_id} at {record.offset}")


def one_event_for_one_command(world: "World") -> None:
    """Within the idempotency window; and where it creates something, for ever, or until a rollback undoes it."""
    if world.truth.twice:
        raise Broken(one_event_for_one_command, f"two events for the records {world.truth.twice}")
    for workflow_id, journal in world.truth.journals.items():
        last: dict[str, int] = {}
        created: frozenset[tuple[str, str]] = frozenset()
        after = [created]
        for fact in journal:
            event = fact.event
            command_id, seq = event["command_id"], event["event_seq"]
            if seq - last.get(command_id, -world.window_slots) <= world.window_slots:
                raise Broken(
                    one_event_for_one_command, f"{workflow_id}: {command_id}, events {last[command_id]}, {seq}"
                )
            entity = (event["event_type"], command_id)
            if entity in created:
                raise Broken(one_event_for_one_command, f"{workflow_id}: {entity} twice")
            last[command_id] = seq
            if event["event_type"] in ("goal_created", "task_added"):
                created |= {entity}
            elif event["event_type"] == "rolled_back":
                created = after[fact.payload["to_seq"]]
            after.append(created)


def deltas_lead_where_payloads_do(world: "World") -> None:
    """fold(events) = fold(deltas), every digest on the way checked."""
    for workflow_id, journal in world.truth.journals.items():
        base, *_, last = world.truth.histories[workflow_id]
        if restore(workflow_id, [fact.event for fact in journal], base) != last:
            raise Broken(deltas_lead_where_payloads_do, workflow_id)


def nothing_is_passed_over(world: "World") -> None:
    """Whatever an accepted record speaks for was decided by its owner, or is named as lost."""
    decided: dict[str, set[int]] = {}
    for batch in world.all_batches():
        decided.setdefault(batch.sequencer_id, set()).update(record.offset for record in batch.records)
    generation, next_offset = 0, 0
    for record in world.truth.accepted:
        at, offset = record.place
        if at != generation:  # another topic: what it never held when it was adopted is not owed
            next_offset = 0 if generation == 0 else world.topic(at).low
            generation = at
        passed = set(range(next_offset, offset + 1))
        if record.verdict is Verdict.EPOCH:
            lost = record.payload["lost"]
            passed -= set(range(lost[0], lost[1] + 1)) if lost else set()
        elif record.offset not in world.forgeries:
            passed -= decided.get(record.event["sequencer_id"], set())
        else:
            passed = set()
        if passed:
            raise Broken(nothing_is_passed_over, f"commands {sorted(passed)} by the record at {record.offset}")
        next_offset = max(next_offset, offset + 1)


def accepted_records_are_in_order(world: "World") -> None:
    """Epochs follow each other by one, each has one owner, its records are 0, 1, 2 ... and none with a higher number
    stands before them; commands are spoken for in their order."""
    highest: dict[Any, int] = {}
    epoch, expected, last = 0, (1, ""), (0, -1)
    numbers = 0
    for record in world.truth.records:
        number = record.event["epoch_seq"]
        if record.verdict.accepted:
            if record.verdict is Verdict.EPOCH:
                epoch, expected, numbers = epoch + 1, (epoch + 1, record.event["sequencer_id"]), 0
            grows = record.place >= last if record.verdict is Verdict.EPOCH else record.place > last
            overtaken = record.verdict is not Verdict.EPOCH and number <= highest.get(record.owner, -1)
            if record.owner != expected or number != numbers or not grows or overtaken:
                raise Broken(accepted_records_are_in_order, f"{record.verdict} at {record.offset}: {record.event}")
            numbers, last = numbers + 1, record.place
            highest = highest if record.verdict is not Verdict.EPOCH else {}
        elif record.verdict is Verdict.BACKWARDS and record.event["event_type"] != SEQUENCER_EPOCH:
            numbers += 1  # it has no effect but that its number is used up
        highest[record.owner] = max(number, highest.get(record.owner, -1))


def records_speak_for_commands_that_exist(world: "World") -> None:
    for record in world.truth.accepted:
        if record.place[1] >= world.topic(record.place[0]).end and record.offset not in world.forgeries:
            raise Broken(records_speak_for_commands_that_exist, f"{record.place} by the record at {record.offset}")


def rules_never_go_back(world: "World") -> None:
    version = 0
    for record in world.truth.accepted:
        if record.verdict is Verdict.EPOCH:
            if record.payload["rules_version"] < version and not record.payload["forced_by"]:
                raise Broken(rules_never_go_back, f"from {version} by the record at {record.offset}")
            version = record.payload["rules_version"]


def time_never_runs_backwards(world: "World") -> None:
    for workflow_id, journal in world.truth.journals.items():
        times = [fact.event["timestamp"] for fact in journal]
        if times != sorted(times):
            raise Broken(time_never_runs_backwards, f"{workflow_id}: {times}")


def nobody_decides_before_the_epoch_is_in_the_log(world: "World") -> None:
    opened = {
        record.event["sequencer_id"]: record.offset
        for record in world.truth.accepted
        if record.verdict is Verdict.EPOCH
    }
    for batch in world.all_batches():
        if opened.get(batch.sequencer_id, batch.log_end) >= batch.log_end:
            raise Broken(nobody_decides_before_the_epoch_is_in_the_log, f"{batch.sequencer_id} at {batch.log_end}")


def nobody_decides_on_what_others_wrote(world: "World") -> None:
    """A database that is ahead of all that this owner wrote says that somebody else writes: nothing more is decided."""
    for batch in world.all_batches():
        if any(projected > batch.reach for projected in batch.looks.fetched):
            raise Broken(nobody_decides_on_what_others_wrote, f"{batch.looks.fetched} beyond {batch.reach}")


# What was told


def what_was_acknowledged_is_a_fact(world: "World") -> None:
    """And the reply says of it what the event says."""
    for told in world.told:
        if told.reply is None or told.reply["status"] != "accepted":
            continue
        fact = world.truth.facts.get(told.place)
        if fact is None or fact.event["command_id"] != told.reply["command_id"]:
            raise Broken(what_was_acknowledged_is_a_fact, f"{told.place} {told.reply}: the log has {fact}")
        names = ("workflow_id", "event_seq", "event_id", "event_type", "goal_id", "task_id", "state_checksum", "epoch")
        event: Any = fact.event
        if wrong := [name for name in names if told.reply[name] != event[name]]:  # type: ignore[literal-required]
            raise Broken(what_was_acknowledged_is_a_fact, f"{told.place}: the reply differs in {wrong}")


def what_was_turned_away_is_no_fact(world: "World") -> None:
    """Who was told refused, duplicate or unavailable, of this very record, was told so for good."""
    for told in world.told:
        if told.status != "accepted" and told.place in world.truth.facts:
            raise Broken(what_was_turned_away_is_no_fact, f"{told.place} was told {told.status}, and accepted")


def one_outcome_for_one_record(world: "World") -> None:
    seen: dict[Any, str] = {}
    for told in world.told:
        if told.place in seen:
            raise Broken(one_outcome_for_one_record, f"{told.place}: {seen[told.place]} and {told.status}")
        seen[told.place] = told.status


def answers_come_in_command_order(world: "World") -> None:
    last: dict[str, tuple[int, int]] = {}
    for told in world.told:
        if told.place <= last.get(told.sequencer_id, (0, 0)) and told.sequencer_id in last:
            raise Broken(answers_come_in_command_order, f"{told.place} after {last[told.sequencer_id]}")
        last[told.sequencer_id] = told.place


def one_client_hears_one_story(world: "World") -> None:
    """A command that was acknowledged is never refused to a later repeat within the window, and keeps its event."""
    for command_id, wanted in world.clients.wanted.items():
        outcome = wanted.outcome
        if outcome is None or outcome["status"] not in ("accepted", "duplicate"):
            continue
        journal = world.truth.journals.get(wanted.command.workflow_id, [])
        mine = [fact.event["event_id"] for fact in journal if fact.event["command_id"] == command_id]
        if outcome["event_id"] not in mine:
            raise Broken(one_client_hears_one_story, f"{command_id} heard of event {outcome['event_id']}, it is {mine}")


# What is warm


def warm_states_are_folds_of_the_log(world: "World") -> None:
    """Every state that an owner may decide on next is a prefix of the truth, and as long as the owner believes."""
    for owner in world.owners:
        for workflow_id, state in _warm(owner):
            history = [State(workflow_id), *world.truth.histories.get(workflow_id, ())[1:]]
            if state.head_seq >= len(history):
                raise Broken(warm_states_are_folds_of_the_log, f"{workflow_id} is at {state.head_seq}, beyond the log")
            true = history[state.head_seq]
            if (state.head_hash, state.checksum, state.window) != (true.head_hash, true.checksum, true.window):
                raise Broken(warm_states_are_folds_of_the_log, f"{workflow_id} at {state.head_seq} is another state")
            journal = world.truth.journals.get(workflow_id, [])
            known = sum(fact.offset < owner.cache.as_of_offset for fact in journal)
            if state.head_seq < known:
                raise Broken(warm_states_are_folds_of_the_log, f"{workflow_id} is at {state.head_seq}, not at {known}")


def _warm(owner: Owner) -> Iterator[tuple[str, Any]]:
    cache = owner.cache
    return ((key, state) for key, state in cache._states.items() if key not in cache._pins)


def the_cache_is_bounded(owner: Owner) -> None:
    """After each batch: at most its maximum, or what cannot be read anywhere else yet."""
    cache = owner.cache
    if len(cache) > max(cache.workflows_max, len(cache._pins)):
        raise Broken(the_cache_is_bounded, f"{len(cache)} states, {len(cache._pins)} pinned")
    if owner.sequencer and not owner.sequencer.in_flight and cache._pins:
        raise Broken(the_cache_is_bounded, f"pinned, with nothing on the way: {cache._pins}")


# What is projected


def the_journal_is_the_topic(world: "World") -> None:
    """When it has caught up: each fact once, in its order, and what stopped a workflow has stopped it there, too."""
    kept = {key: each for key, each in world.database.kept.items() if each.journal or each.stopped}
    for workflow_id in kept.keys() | world.truth.journals.keys():
        journal = [fact.event for fact in world.truth.journals.get(workflow_id, ())]
        stored = kept.get(workflow_id)
        if stored is None or stored.journal != journal:
            raise Broken(the_journal_is_the_topic, f"{workflow_id}: {stored and len(stored.journal)}, {len(journal)}")
        if (stored.stopped is not None) != (workflow_id in world.truth.stopped):
            raise Broken(the_journal_is_the_topic, f"{workflow_id} is stopped: {stored.stopped}")


def what_is_read_back_is_the_fold(world: "World") -> None:
    """Snapshot and tail give the state of the log, at its end and at any event before; and so the same next step."""
    for workflow_id, history in world.truth.histories.items():
        kept = world.database.kept[workflow_id]
        last = len(kept.journal)
        for seq in {last, *(each.head.seq for each in kept.snapshots), world.random.randint(1, last)} if last else ():
            try:
                state = world.database.restored(workflow_id, kept, seq)
            except IntegrityError as damage:
                raise Broken(what_is_read_back_is_the_fold, f"{workflow_id} at {seq}: {damage}") from None
            if state != history[seq]:
                raise Broken(what_is_read_back_is_the_fold, f"{workflow_id} at {seq} is another state")
            if any(next_step(state, name) != next_step(history[seq], name) for name in (None, "ada", "bob")):
                raise Broken(what_is_read_back_is_the_fold, f"{workflow_id} at {seq} has another next step")


def late_results_are_stored_once(world: "World") -> None:
    told = {each["command_id"]: each["result_ref"] for marks in world.truth.late.values() for each in marks}
    stored = [each for kept in world.database.kept.values() for each in kept.late]
    if {each.command_id: each.result_ref for each in stored} != told:
        raise Broken(late_results_are_stored_once, f"{len(stored)} are stored, and {len(told)} were told")


# Tenants


def tenants_are_apart(world: "World") -> None:
    """A fact is of the tenant and the project that its command named, and nobody hears of another's."""
    for place, fact in world.truth.facts.items():
        command = world.decisions[place].command
        named = command and (command.tenant, command.project, command.workflow_id)
        if named != (fact.event["tenant"], fact.event["project"], fact.event["workflow_id"]):
            raise Broken(tenants_are_apart, f"{place}: {fact.event} was asked for by {named}")
        if fact.event["event_type"] == "project_forked":
            origin = world.truth.journals[fact.payload["origin_workflow_id"]][0].event
            if origin["tenant"] != fact.event["tenant"]:
                raise Broken(tenants_are_apart, f"{place} forks what is {origin['tenant']}'s")
    for told in world.told:
        command = world.decisions[told.place].command if told.place in world.decisions else None
        if told.reply is not None and command is not None and told.reply["workflow_id"] != command.workflow_id:
            raise Broken(tenants_are_apart, f"{told} is told to {command.workflow_id}")


# When the faults have ended


def everybody_is_answered(world: "World") -> None:
    if unanswered := world.clients.unanswered:
        raise Broken(everybody_is_answered, f"{len(unanswered)} commands are not, first {unanswered[0]}")


AT_THE_END = (
    sequences_have_no_holes,
    time_never_runs_backwards,
    accepted_records_are_in_order,
    records_speak_for_commands_that_exist,
    rules_never_go_back,
    nothing_is_stopped_but_by_forgery,
    one_event_for_one_command,
    deltas_lead_where_payloads_do,
    nothing_is_passed_over,
    nobody_decides_before_the_epoch_is_in_the_log,
    nobody_decides_on_what_others_wrote,
    nobody_answers_for_what_is_not_in_the_log,
    tokens_only_grow,
    there_is_one_live_holder,
    a_fenced_executor_commits_nothing,
    five_silent_deaths_block,
    one_completion_per_step_for_ever,
    attempts_are_numbered_without_gaps,
    every_fact_is_what_its_command_asked,
    every_command_that_is_allowed_is_a_fact,
    cited_expiries_are_those_that_counted,
    nobody_is_replaced_before_the_expiry_that_was_promised,
    nobody_waits_for_what_has_run_out,
    late_results_are_kept,
    one_effect_for_one_key,
    the_audit_finds_nothing,
    the_journal_is_the_topic,
    what_is_read_back_is_the_fold,
    late_results_are_stored_once,
    tenants_are_apart,
    what_was_acknowledged_is_a_fact,
    what_was_turned_away_is_no_fact,
    one_outcome_for_one_record,
    answers_come_in_command_order,
    one_client_hears_one_story,
    a_duplicate_is_of_the_same_command,
    every_answer_is_what_the_replay_gives,
    every_outage_was_there,
    warm_states_are_folds_of_the_log,
    everybody_is_answered,
)
