import random
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from continuity.core import State, canonical
from continuity.replay import expected
from continuity.replay.mapping import Deviation
from continuity.replay.plan import Plan, plan
from continuity.replay.rehearsal import UNKNOWN, rehearse
from tests.replay.histories import EXAMPLE, add, deps, example, histories, planned, status

MOMENTS = frozenset({"created_at", "created_seq", "updated_at", "changed_seq", "timestamp", "seq"})


def without_moments(state: State) -> bytes:
    """The work as it stands, whichever order it came in."""
    return canonical.dumps(
        {
            collection: {
                key: {name: value for name, value in document.items() if name not in MOMENTS}
                for key, document in found.items()
            }
            for collection, found in state.work.items()
            if isinstance(found, dict)
        }
    )


def all_before(made: Plan) -> list[set[int]]:
    """By place, every place that has to be done before, directly or not."""
    before: list[set[int]] = []
    for each in made.commands:
        before.append(set(each.waits_for).union(*(before[place] for place in each.waits_for)))
    return before


def lines_before(made: Plan, line: int, step: int) -> set[int]:
    place = next(place for place, each in enumerate(made.commands) if (each.line, each.step) == (line, step))
    return {made.commands[earlier].line for earlier in all_before(made)[place]}


def test_a_command_waits_only_for_earlier_places():
    for place, each in enumerate(plan(example(), "local", "tests").commands):
        assert all(earlier < place for earlier in each.waits_for)


def test_a_fact_waits_for_what_it_names_also_where_that_stands_later():
    made = planned(add("t1", "done", parent="g1", depends_on=["t2"]), add("t2", "done"), add("g1", "done"))
    assert lines_before(made, 1, 0) == {0, 2, 3}
    # The later fact as a whole: the dependency is done when the task starts.
    assert not rehearse(made).deviations


def test_a_fact_waits_for_the_earlier_facts_of_its_task_and_of_its_dependencies_only():
    made = planned(
        add("t1"), add("t2"), deps("t2", "t1"), status("t1", "todo", "done"), status("t2", "todo", "doing"), add("t3"),
        status("t1", "done", "todo"),
    )  # fmt: skip
    assert lines_before(made, 5, 0) == {0, 1, 2, 3, 4}
    assert lines_before(made, 6, 0) == {0}
    # And what happens to the dependency later does not come before: the start would be refused.
    assert 5 in lines_before(made, 7, 0)


def test_a_goal_is_closed_after_the_earlier_facts_of_its_tasks():
    made = planned(
        add("g1"), add("t1", parent="g1"), add("t2", parent="g1"), status("t1", "todo", "done"),
        status("t2", "todo", "done"), status("g1", "todo", "done", t=2), status("t1", "done", "todo", t=3),
    )  # fmt: skip
    assert lines_before(made, 6, 0) == {1, 2, 3, 4, 5}
    assert 6 in lines_before(made, 7, 0)


def test_a_goal_is_closed_after_all_other_facts_of_its_second():
    made = planned(add("g1", "done"), add("t1", "done", parent="g1"))
    assert lines_before(made, 1, 1) == {1, 2}
    assert not rehearse(made).deviations


def test_a_goal_keeps_the_order_of_its_own_changes_within_a_second():
    made = planned(
        add("g1"), add("t1", "done", parent="g1"), status("g1", "todo", "done"), status("g1", "done", "todo")
    )
    assert [each.line for each in made.commands if each.command_type == "set_goal_status"] == [3, 4]


def test_tasks_that_depend_on_each_other_from_the_start():
    made = planned(add("t1", depends_on=["t2"]), add("t2", depends_on=["t1"]))
    assert [(skip.line, skip.code) for skip in made.skips] == [(2, "circular_dependency")]
    assert not [each for each in rehearse(made).deviations if each.code in UNKNOWN]


def test_the_facts_of_the_committed_history_keep_their_order_where_the_rules_want_it():
    history = example()
    made = plan(history, "local", "tests")
    before = all_before(made)
    places = defaultdict(list)
    for place, each in enumerate(made.commands):
        places[each.line].append(place)
    depends_on: dict[str, tuple[str, ...]] = {}
    facts_of: defaultdict[str, list[int]] = defaultdict(list)
    for fact in history.facts:
        if fact.op in ("add", "deps"):
            depends_on[fact.id] = tuple(name for name in fact.depends_on if name not in history.parents)
        for place in places[fact.line]:
            if fact.id in history.parents:
                continue  # the closing of goals has tests of its own
            for name in (fact.id, *depends_on[fact.id]):
                for earlier in facts_of[name]:
                    assert set(places[earlier]) <= before[place], (earlier, fact.line)
            for name in fact.names:
                assert places[history.adds[name].line][0] in before[place]
        facts_of[fact.id].append(fact.line)


def test_the_committed_list_is_the_outcome_of_the_core():
    found = rehearse(plan(example(), "local", "tests")).deviations
    text = expected.dumps(found)
    assert expected.place(EXAMPLE).read_text() == text, f"run: python -m continuity.replay {EXAMPLE}"
    assert expected.loads(text) == found
    assert not [each for each in found if each.code in UNKNOWN]


def test_outcomes_do_not_depend_on_the_order_of_the_workers():
    made = plan(example(), "local", "tests")
    reference = rehearse(made)
    for seed in range(3):
        shuffled = rehearse(made, random.Random(seed).choice)
        assert shuffled.deviations == reference.deviations
        assert shuffled.events == reference.events
        assert without_moments(shuffled.state) == without_moments(reference.state)


def test_which_dependency_closes_a_circle_does_not_depend_on_the_order_either():
    made = planned(
        add("t1"), add("t2"), add("t3"), add("t4"),
        deps("t1", "t2"), deps("t3", "t4"), deps("t2", "t3"), deps("t4", "t1"),
    )  # fmt: skip
    for pick in (min, max):
        assert [(each.line, each.code) for each in rehearse(made, pick).deviations] == [(8, "dependency_cycle")]


@settings(max_examples=200, deadline=None)
@given(histories(), st.integers(0, 2**32 - 1))
def test_nor_in_any_other_history(history, seed):
    made = plan(history, "local", "tests")
    reference, shuffled = rehearse(made), rehearse(made, random.Random(seed).choice)
    assert shuffled.deviations == reference.deviations
    assert without_moments(shuffled.state) == without_moments(reference.state)


def test_a_list_tells_what_it_lacks_and_what_did_not_happen():
    one, other = Deviation(1, "refused", "goal_done", "a"), Deviation(2, "skipped", "goal_notes", "b")
    assert expected.compare((one,), (other,)) == ((one,), (other,))
    assert expected.compare((one, other), (other, one)) == ((), ())
