import json

import pytest

from continuity.errors import ConfigError
from continuity.replay.history import read
from tests.replay.histories import add, deps, example, status, told


def test_the_committed_history_is_what_its_readme_says():
    history = example()
    assert (len(history.facts), len(history.adds), len(history.parents)) == (3434, 1151, 38)
    assert len({fact.who for fact in history.facts} - {None}) == 77


def test_what_a_fact_names_may_stand_later():
    history = told(add("t1", parent="g1", depends_on=["t2"]), add("t2"), add("g1"))
    assert history.facts[0].names == ("g1", "t2")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[]", "it is no fact"),
        ("not JSON", "it is no fact"),
        ('{"op": "fly", "t": 1, "id": "t1"}', "it is no fact (KeyError: 'fly')"),
        ('{"op": "notes", "t": 1, "id": "t1"}', "it is no fact (KeyError: 'text_len')"),
        ('{"op": "notes", "t": true, "id": "t1", "text_len": 1}', "its t is True"),
        ('{"op": "notes", "t": 1, "id": "t1", "text_len": -1}', "its text_len is -1"),
        ('{"op": "notes", "t": 1, "id": "t1", "text_len": 1, "who": 5}', "its who is 5"),
        ('{"op": "status", "t": 1, "id": "t1", "frm": "todo", "to": "lost"}', "there is no status 'lost'"),
        ('{"op": "notes", "t": 1, "id": "t9", "text_len": 1}', "it names t9, which no line adds"),
        ('{"op": "notes", "t": 0, "id": "t1", "text_len": 1}', "it is older than the line before it"),
        (json.dumps(add("t1")), "t1 was added before, on line 1"),
        (json.dumps(add("t2", parent="g9")), "it names g9, which no line adds"),
        (json.dumps(deps("t1", "t8")), "it names t8, which no line adds"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(line, says):
    with pytest.raises(ConfigError) as caught:
        read([json.dumps(add("t1")), line])
    assert caught.value.detail.startswith("Line 2 cannot be used: ")
    assert says in caught.value.detail


def test_an_empty_history_is_refused():
    with pytest.raises(ConfigError, match="there is no line"):
        read([])


def test_a_status_keeps_both_of_its_sides():
    (_, fact) = told(add("t1"), status("t1", "todo", "done", who="agent-1")).facts
    assert (fact.before, fact.status, fact.who) == ("todo", "done", "agent-1")
