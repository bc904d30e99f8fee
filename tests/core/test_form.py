"""The form of a command: what is understood, and the first thing that is not, by name and at its limit."""

import re
from typing import Any

import pytest
from hypothesis import given as sampled
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from continuity.core import canonical, commands, limits
from continuity.core.commands import COMMANDS
from continuity.core.decide import check_form, decide
from continuity.core.fields import ONE_LINE_PATTERN, TEXT_PATTERN, FormError
from continuity.core.ids import NIL
from continuity.core.outcome import Rejected
from continuity.core.state import State
from continuity.core.transitions import EVENT_TYPES
from tests.spec import (
    NOON,
    WORKFLOW,
    add_task,
    begin_step,
    claim,
    command,
    command_id,
    create_goal,
    entity,
    given,
)  # fmt: skip

ID = "3f0f7d3e-6f0e-5d59-9d3c-8f6a1f0f7f10"
OTHER = "3f0f7d3e-6f0e-5d59-9d3c-8f6a1f0f7f11"
SMALLEST: dict[str, dict[str, Any]] = {
    "create_goal": {"text": "x"},
    "set_goal_status": {"goal_id": ID, "status": "done"},
    "set_goal_priority": {"goal_id": ID, "priority": 0},
    "add_task": {"goal_id": ID, "title": "x"},
    "amend_task": {"task_id": ID, "title": "x"},
    "start_task": {"task_id": ID},
    "pause_task": {"task_id": ID},
    "block_task": {"task_id": ID, "blocker": {"text": "x"}},
    "complete_task": {"task_id": ID},
    "reopen_task": {"task_id": ID},
    "update_checkpoint": {"task_id": ID, "where_left_off": "x", "next_step": "x", "context_refs": []},
    "acquire_lease": {"owner_id": "x", "ttl_seconds": 1},
    "renew_lease": {},
    "release_lease": {},
    "claim_task": {"owner_id": "x", "ttl_seconds": 1},
    "begin_step": {"step_id": "x", "step_type": "pure"},
    "complete_step": {"step_id": "x", "attempt_id": 1},
    "fail_step": {"step_id": "x", "attempt_id": 1},
    "rollback": {"to_seq": 1},
    "fork_project": {"from_project": "x", "at_seq": 1},
}


def many(count: int, width: int = 0) -> list[str]:
    return [f"{n:0{width or 1}d}" for n in range(count)]


def ids_of(count: int) -> list[str]:
    return [f"3f0f7d3e-6f0e-5d59-9d3c-{n:012x}" for n in range(count)]


def form_error(command_type: str, body: Any) -> FormError:
    with pytest.raises(FormError) as error:
        commands.parse(command_type, body)
    assert error.value.detail.endswith(".")
    return error.value


def test_every_command_has_a_smallest_form_here_an_event_type_and_a_docstring() -> None:
    assert SMALLEST.keys() == COMMANDS.keys() == EVENT_TYPES.keys() | {"renew_lease"}, "a renewal is no event"
    assert len(set(EVENT_TYPES.values())) == len(EVENT_TYPES)
    assert all(kind.__doc__ and not kind.__doc__.startswith(kind.__name__ + "(") for kind in COMMANDS.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_smallest_form_is_taken_and_comes_back(name: str) -> None:
    parsed = commands.parse(name, SMALLEST[name])
    assert commands.parse(name, commands.body_of(parsed)) == parsed
    assert commands.parse_canonical(name, canonical.text(SMALLEST[name])) == parsed


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, body in SMALLEST.items() for field in body if (name, field) != ("amend_task", "title")],
)
def test_each_field_of_the_smallest_form_is_needed(name: str, field: str) -> None:
    for body in ({key: value for key, value in SMALLEST[name].items() if key != field}, SMALLEST[name] | {field: None}):
        error = form_error(name, body)
        assert (error.code, field in error.detail) == ("missing_field", True)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_field_is_named(name: str) -> None:
    for value in (1, None):
        error = form_error(name, SMALLEST[name] | {"colour": value})
        assert (error.code, "'colour'" in error.detail) == ("unknown_field", True)


def test_null_stands_for_an_absent_optional_field() -> None:
    assert commands.parse("complete_task", {"task_id": ID, "evidence": None}) == commands.parse(
        "complete_task", {"task_id": ID}
    )
    assert commands.parse("create_goal", {"text": "x", "priority": None}) == commands.CreateGoal("x", 0)


def test_an_amendment_says_what_it_amends() -> None:
    assert form_error("amend_task", {"task_id": ID}).code == "missing_field"
    assert commands.parse("amend_task", {"task_id": ID, "depends_on": []}) == commands.AmendTask(ID, depends_on=[])


def test_a_result_is_a_reference_with_its_checksum() -> None:
    digest = {"result_checksum": "a" * 64}
    for half in ({"result_ref": "blob:1"}, digest):
        assert form_error("complete_step", SMALLEST["complete_step"] | half).code == "missing_field"
    whole = SMALLEST["complete_step"] | {"result_ref": "blob:1"} | digest
    assert commands.parse("complete_step", whole) == commands.CompleteStep("x", 1, "blob:1", "a" * 64)


def test_a_step_that_cannot_be_repeated_has_an_external_key() -> None:
    step = {"step_id": "pay", "step_type": "non_idempotent"}
    assert "external_key" in form_error("begin_step", step).detail
    assert commands.parse("begin_step", step | {"external_key": "order-7"}) == commands.BeginStep(
        "pay", "non_idempotent", external_key="order-7"
    )
    for kind in ("pure", "idempotent"):
        commands.parse("begin_step", {"step_id": "pay", "step_type": kind})


def test_a_renewal_cannot_change_the_ttl() -> None:
    assert form_error("renew_lease", {"ttl_seconds": 60}).code == "unknown_field"


# (command, field, a value at the limit, one beyond it)
LIMITS = [
    ("create_goal", "text", "é" * 4_000, "é" * 4_001),
    ("create_goal", "text", "a\nb", ""),
    ("create_goal", "text", " a ", " \n\t"),
    ("create_goal", "priority", 1_000, 1_001),
    ("create_goal", "priority", -1_000, -1_001),
    ("set_goal_priority", "priority", 1_000, 1_001),
    ("add_task", "title", "t" * 500, "t" * 501),
    ("add_task", "title", "one line", "two\nlines"),
    ("amend_task", "title", "t" * 500, "carriage\rreturn"),
    ("add_task", "acceptance_criteria", many(50), many(51)),
    ("add_task", "acceptance_criteria", ["c" * 1_000], ["c" * 1_001]),
    ("add_task", "acceptance_criteria", ["a", "b"], ["a", "a"]),
    ("add_task", "acceptance_criteria", [], [""]),
    ("amend_task", "acceptance_criteria", many(50, 1_000), many(51, 1_000)),
    ("add_task", "depends_on", ids_of(100), ids_of(101)),
    ("add_task", "depends_on", [ID, OTHER], [ID, ID]),
    ("amend_task", "depends_on", ids_of(100), ids_of(101)),
    ("pause_task", "reason", "r" * 1_000, "r" * 1_001),
    ("block_task", "blocker", {"text": "b" * 1_000}, {"text": "b" * 1_001}),
    ("block_task", "blocker", {"text": "b", "clears_when": "c" * 1_000}, {"text": "b", "clears_when": "c" * 1_001}),
    ("complete_task", "evidence", "e" * 4_000, "e" * 4_001),
    ("update_checkpoint", "where_left_off", "w" * 8_000, "w" * 8_001),
    ("update_checkpoint", "next_step", "n" * 500, "n" * 501),
    ("update_checkpoint", "next_step", "one line", "two\nlines"),
    ("update_checkpoint", "context_refs", many(50, 500), many(51, 500)),
    ("update_checkpoint", "context_refs", ["c" * 500], ["c" * 501]),
    ("update_checkpoint", "context_refs", ["one line"], ["two\nlines"]),
    ("acquire_lease", "owner_id", "o" * 200, "o" * 201),
    ("acquire_lease", "owner_id", "one line", "two\nlines"),
    ("acquire_lease", "ttl_seconds", 1, 0),
    ("acquire_lease", "ttl_seconds", 86_400, 86_401),
    ("claim_task", "owner_id", "o" * 200, "o" * 201),
    ("claim_task", "owner_id", "one line", ""),
    ("claim_task", "ttl_seconds", 86_400, 86_401),
    ("claim_task", "ttl_seconds", 1, -1),
    ("begin_step", "step_id", "s" * 100, "s" * 101),
    ("begin_step", "step_id", "Az09._:-", "a/b"),
    ("begin_step", "external_key", "k" * 200, "k" * 201),
    ("begin_step", "external_key", "one line", "two\nlines"),
    ("complete_step", "attempt_id", 1, 0),
    ("complete_step", "attempt_id", 100, 101),
    ("fail_step", "error", "e" * 500, "e" * 501),
    ("fail_step", "attempt_id", 100, 101),
    ("rollback", "to_seq", 1, -1),
    ("rollback", "to_seq", 2**53 - 1, 2**53),
    ("fork_project", "at_seq", 1, 0),
    ("fork_project", "from_project", "a" * 63, "a" * 64),
    ("fork_project", "from_project", "a.b-c_d", "A"),
]
PAIRED = [
    ("result_ref", "r" * 500, "r" * 501),
    ("result_ref", "one line", "two\nlines"),
    ("result_checksum", "0" * 64, "0" * 63),
    ("result_checksum", "f" * 64, "F" * 64),
]


@pytest.mark.parametrize(("name", "field", "inside", "outside"), LIMITS)
def test_a_limit_holds_at_its_boundary(name: str, field: str, inside: Any, outside: Any) -> None:
    parsed = commands.parse(name, SMALLEST[name] | {field: inside})
    assert getattr(parsed, field) == inside, "a value was changed"
    error = form_error(name, SMALLEST[name] | {field: outside})
    assert (error.code, field in error.detail) == ("invalid_field", True)


@pytest.mark.parametrize(("field", "inside", "outside"), PAIRED)
def test_a_limit_of_a_result_holds_at_its_boundary(field: str, inside: str, outside: str) -> None:
    whole = SMALLEST["complete_step"] | {"result_ref": "r", "result_checksum": "0" * 64}
    assert getattr(commands.parse("complete_step", whole | {field: inside}), field) == inside
    error = form_error("complete_step", whole | {field: outside})
    assert (error.code, field in error.detail) == ("invalid_field", True)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("create_goal", "text", 1), ("create_goal", "text", ["x"]), ("create_goal", "text", {"x": 1}),
        ("create_goal", "priority", "1"), ("create_goal", "priority", True), ("create_goal", "priority", 1.0),
        ("set_goal_status", "status", "Done"), ("set_goal_status", "status", ["done"]),
        ("start_task", "task_id", ID.upper()), ("start_task", "task_id", ID[:-1]),
        ("start_task", "task_id", ID + "\n"), ("set_goal_status", "status", 1), ("add_task", "depends_on", ["x"]),
        ("start_task", "task_id", f"{{{ID}}}"), ("start_task", "task_id", 1), ("start_task", "task_id", ""),
        ("add_task", "acceptance_criteria", "x"), ("add_task", "acceptance_criteria", {"a": "b"}),
        ("add_task", "depends_on", [["x"], ["x"]]), ("add_task", "depends_on", [None]),
        ("block_task", "blocker", "x"), ("block_task", "blocker", []), ("block_task", "blocker", {"text": None}),
        ("block_task", "blocker", {"text": "x", "clears_when": 1}), ("update_checkpoint", "context_refs", "x"),
        ("acquire_lease", "ttl_seconds", True), ("acquire_lease", "ttl_seconds", "60"), ("claim_task", "owner_id", 1),
        ("renew_lease", "task_id", "x"), ("claim_task", "task_id", ID.upper()), ("release_lease", "force", 1),
        ("release_lease", "force", "true"), ("begin_step", "step_type", "optional"), ("begin_step", "step_id", "é"),
        ("begin_step", "step_id", ""), ("begin_step", "step_id", "a\n"), ("begin_step", "step_id", 1),
        ("begin_step", "external_key", ["k"]), ("complete_step", "attempt_id", "1"), ("fail_step", "error", {}),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_by_name(name: str, field: str, value: Any) -> None:
    error = form_error(name, SMALLEST[name] | {field: value})
    assert (error.code, field in error.detail) == ("invalid_field", True)


@pytest.mark.parametrize(
    ("blocker", "code"),
    [({}, "missing_field"), ({"clears_when": "x"}, "missing_field"), ({"text": "x", "who": "y"}, "unknown_field")],
)
def test_a_blocker_is_a_small_object(blocker: Any, code: str) -> None:
    assert form_error("block_task", {"task_id": ID, "blocker": blocker}).code == code


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text_that_cannot_be_stored_is_refused(text: str) -> None:
    assert form_error("create_goal", {"text": text}).code == "json_string"
    assert form_error("block_task", {"task_id": ID, "blocker": {"text": text}}).code == "json_string"


@pytest.mark.parametrize("body", [None, [], "x", 1, True])
def test_a_body_is_an_object(body: Any) -> None:
    assert form_error("create_goal", body).code == "invalid_field"


def test_an_unknown_command_is_refused_by_name() -> None:
    error = form_error("drop_everything" * 100, {})
    assert (error.code, len(error.detail) < 200) == ("unknown_command", True)


# The record around the body


def refused(**fields: Any) -> Rejected:
    outcome = decide(State(WORKFLOW), create_goal("g")._replace(**fields), NOON)
    assert isinstance(outcome, Rejected), fields
    return outcome


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant", "Acme"), ("tenant", ""), ("tenant", "acme/apollo"), ("tenant", "acme\n"), ("project", "a" * 64),
        ("project", "other"), ("workflow_id", ID), ("workflow_id", ""),
        ("command_id", "x"), ("command_id", ID.upper()), ("command_id", NIL), ("command_id", ""),
        ("after", "x"), ("after", NIL), ("after", ""),
        ("operator_kind", "robot"), ("operator_kind", ""),
        ("operator_id", ""), ("operator_id", "o" * 201), ("operator_id", "a\x00"), ("operator_id", "a\nb"),
        ("session_id", ""), ("session_id", "s" * 201), ("session_id", "\x7f"),
    ],
)  # fmt: skip
def test_the_record_has_a_form_too(field: str, value: str) -> None:
    outcome = refused(**{field: value})
    assert outcome.code == "invalid_field"
    assert field in outcome.detail or (field, value) == ("project", "other")


@pytest.mark.parametrize(
    "fields",
    [
        {"operator_id": "o" * 200}, {"session_id": "s" * 200}, {"session_id": None}, {"operator_id": "Zoë 🚀"},
        {"operator_kind": "device"}, {"operator_kind": "automation"}, {"operator_kind": "agent"},
    ],
)  # fmt: skip
def test_what_the_record_may_say(fields: Any) -> None:
    given().when(create_goal("g", **fields)).then_event("goal_created", **fields)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"text": "x"}', "json_syntax"), ('{"text":"x","priority":0} ', "json_syntax"), ("", "json_syntax"),
        ('{"text":"x","text":"x"}', "json_syntax"), ("{", "json_syntax"), ('{"text":1e400}', "json_syntax"),
        ('{"text":%s}' % ("[" * 300 + "]" * 300), "json_syntax"), ('{"text":"\\u0000"}', "json_string"),
        ('{"priority":9007199254740992,"text":"x"}', "invalid_field"), ('{"priority":1.5,"text":"x"}', "invalid_field"),
        ("[]", "invalid_field"), ("null", "invalid_field"), ('{"text":true}', "invalid_field"),
    ],
)  # fmt: skip
def test_a_body_in_the_log_is_canonical(body: str, code: str) -> None:
    given().when(command("create_goal", body)).then_refused(code)


def big_body(filler: str, characters: int) -> str:
    """Criteria of 1,000 characters each, as many as make the whole body exactly so long."""
    body = {"acceptance_criteria": [f"{n:04d}" for n in range(50)], "goal_id": ID, "title": "x"}
    missing = characters - len(canonical.text(body))
    for n in range(50):
        more = min(996, missing)
        body["acceptance_criteria"][n] += filler * more  # type: ignore[index]  # it is the list
        missing -= more
    assert missing == 0
    return canonical.text(body)


def test_a_command_has_at_most_64_kib_of_bytes_not_of_characters() -> None:
    at_limit = big_body("x", 40_000)
    assert isinstance(commands.parse_canonical("add_task", at_limit), commands.AddTask)
    wide = big_body("\U0001f680", 40_000)
    assert len(wide) < limits.COMMAND_BYTES_MAX < len(wide.encode())
    given().when(command("add_task", wide)).then_refused("command_too_large", "65536")
    padded = '{"text":"' + "x" * (limits.COMMAND_BYTES_MAX - 11)
    given().when(command("create_goal", padded + '"}')).then_refused("invalid_field")  # read, and too long a text
    given().when(command("create_goal", padded + 'x"}')).then_refused("command_too_large")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_json_schema_says_what_the_form_check_does(name: str) -> None:
    schema = commands.json_schema(name)
    form = schema["properties"]
    assert schema["additionalProperties"] is False
    needed = [field for field in SMALLEST[name] if (name, field) != ("amend_task", "title")]
    assert sorted(schema["required"]) == sorted(needed)
    for case_name, field, inside, _ in LIMITS:
        if case_name == name and isinstance(inside, str):
            assert len(inside) <= form[field].get("maxLength", len(inside))
            assert re.search(form[field].get("pattern", ""), inside)
        elif case_name == name and isinstance(inside, int):
            assert form[field]["minimum"] <= inside <= form[field]["maximum"]
        elif case_name == name and isinstance(inside, list):
            assert form[field]["maxItems"] >= len(inside)
            assert form[field]["uniqueItems"]


def test_each_kind_of_field_has_its_json_schema() -> None:
    uuid = {
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    }

    def text(maximum: int, pattern: str = TEXT_PATTERN) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": maximum, "pattern": pattern}

    def many(item: dict[str, Any], maximum: int) -> dict[str, Any]:
        return {"type": "array", "items": item, "maxItems": maximum, "uniqueItems": True}

    def optional(schema: dict[str, Any]) -> dict[str, Any]:
        return schema | {"type": [schema["type"], "null"]}

    def form(name: str) -> dict[str, Any]:
        return dict(commands.json_schema(name)["properties"])

    assert form("add_task") == {
        "goal_id": uuid,
        "title": text(500, ONE_LINE_PATTERN),
        "acceptance_criteria": optional(many(text(1_000), 50)),
        "depends_on": optional(many(uuid, 100)),
    }
    assert form("set_goal_status") == {
        "goal_id": uuid,
        "status": {"type": "string", "enum": ["active", "paused", "done"]},
    }
    assert form("set_goal_priority")["priority"] == {"type": "integer", "minimum": -1_000, "maximum": 1_000}
    assert form("block_task")["blocker"] == {
        "type": "object",
        "properties": {"text": text(1_000), "clears_when": text(1_000)},
        "required": ["text"],
        "additionalProperties": False,
    }
    assert form("release_lease") == {"task_id": optional(uuid), "force": optional({"type": "boolean"})}
    assert form("begin_step")["step_id"] == {
        "type": "string", "pattern": "^[A-Za-z0-9._:-]+$", "minLength": 1, "maxLength": 100,
    }  # fmt: skip
    assert form("complete_step")["result_checksum"] == optional({"type": "string", "pattern": "^[0-9a-f]{64}$"})
    assert commands.json_schema("create_goal")["type"] == "object"
    assert commands.json_schema("create_goal")["description"] == commands.CreateGoal.__doc__


VALUES: st.SearchStrategy[Any] = st.sampled_from([
    None, True, 0, 1, 100, 101, -1_001, 2**53, ID, ID.upper(), NIL, "", " \t", "\u3000", "x", "a b", "a\nb", "\rx",
    "x\x00", "x" * 200, "x" * 201, "x" * 500, "x" * 501, "x" * 8_001, "a" * 64, "A" * 64, "active", "pure",
    "non_idempotent", [], ["x"], ["x", "x"], [""], [1], [ID], [ID, OTHER], many(50, 2), many(51, 2), {}, {"text": "x"},
    {"text": "x", "clears_when": " "}, {"text": "x", "clears_when": None}, {"text": "x", "why": "y"},
])  # fmt: skip


@sampled(st.data(), st.sampled_from(sorted(COMMANDS)))
def test_the_json_schema_takes_exactly_what_the_form_check_takes(data: st.DataObject, name: str) -> None:
    """Readers of the document draw their requests from it: what it promises is taken, what it excludes is refused."""
    schema = commands.json_schema(name)
    changed = data.draw(st.dictionaries(st.sampled_from([*schema["properties"], "colour"]), VALUES, max_size=4))
    absent = data.draw(st.sets(st.sampled_from(sorted(SMALLEST[name])), max_size=1)) if SMALLEST[name] else set()
    body = {key: value for key, value in (SMALLEST[name] | changed).items() if key not in absent}
    try:
        commands.parse(name, body)
    except FormError as error:
        refused = error.detail
        assert not Draft202012Validator(schema).is_valid(body), refused
    else:
        assert list(Draft202012Validator(schema).iter_errors(body)) == []


HELD = given(
    create_goal("g"), add_task("t", "g"), add_task("u", "g"), claim("ada", "t"), begin_step("s", 1)
).state  # fmt: skip
KEYS = [
    "task_id", "goal_id", "text", "blocker", "owner_id", "ttl_seconds", "step_id", "step_type", "attempt_id", "force",
    "x",
]  # fmt: skip


@sampled(
    st.sampled_from([*COMMANDS, "nonsense", ""]),
    st.text(max_size=50) | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    ).map(canonical.text),
    st.sampled_from([None, 0, 1, 2, -1, 2**63]),
)  # fmt: skip
def test_any_body_whatever_is_decided(name: str, body: str, token: int | None) -> None:
    """A record that made `decide` raise would stop its partition for good."""
    asked = command(name, body, "other", fencing_token=token)
    assert decide(HELD, asked, NOON) == decide(HELD, asked, NOON)


BODIES: dict[str, st.SearchStrategy[Any]] = {
    "task_id": st.sampled_from([entity("t"), entity("u"), ID]), "goal_id": st.sampled_from([entity("g"), ID]),
    "owner_id": st.sampled_from(["ada", "bob"]), "ttl_seconds": st.just(60), "force": st.booleans(),
    "step_id": st.sampled_from(["s", "other"]), "step_type": st.sampled_from(["pure", "idempotent", "non_idempotent"]),
    "external_key": st.just("k"), "attempt_id": st.integers(1, 3), "error": st.just("e"),
    "depends_on": st.just([entity("t")]), "status": st.sampled_from(["active", "paused", "done"]),
    "blocker": st.just({"text": "b"}),
}  # fmt: skip


@sampled(st.sampled_from(sorted(COMMANDS)), st.fixed_dictionaries({}, optional=BODIES), st.sampled_from([None, 1, 2]))
def test_any_body_of_the_right_form_is_decided_by_any_holder(name: str, body: Any, token: int | None) -> None:
    fields = commands.json_schema(name)["properties"]
    whole = SMALLEST[name] | {key: value for key, value in body.items() if key in fields}
    asked = command(name, whole, "other", fencing_token=token)
    for now in (NOON, NOON + 10**9):
        assert decide(HELD, asked, now) == decide(HELD, asked, now)


def test_form_comes_before_everything_else() -> None:
    """A body that is not understood is no repeat of the one that was."""
    given(create_goal("g")).when(
        command("create_goal", "{}", "g", after=command_id("nobody"), expected_seq=99)
    ).then_refused("missing_field")
    with pytest.raises(FormError):
        check_form(create_goal("g", ""))
