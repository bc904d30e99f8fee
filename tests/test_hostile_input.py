"""Whatever bytes somebody writes into a topic, a row or a blob: each reader gives a value, or the one error it has.

Nothing else may come out of it, as whatever else came would end a service. With `--hypothesis-profile=long` these and
the tests of canonical JSON look at 100,000 inputs and more.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from continuity import codec
from continuity.core import commands, seal, snapshot
from continuity.core.acceptance import START, Acceptance, judge
from continuity.core.canonical import dumps
from continuity.core.decide import check_form, decide
from continuity.core.fields import FormError
from continuity.core.limits import JSON_INTEGER_MAX
from continuity.core.outcome import Accepted, Answered, Rejected
from continuity.core.restore import Fold
from continuity.core.seal import Damaged
from continuity.core.snapshot import Head, Unsound
from continuity.core.state import COLLECTIONS, TOKEN_COUNTER, State

VECTORS = Path(__file__).parent / "vectors"
SOUND = [bytes.fromhex(each["hex"]) for each in json.loads((VECTORS / "framing.json").read_text())["records"]]
LOG = [bytes.fromhex(each["hex"]) for each in json.loads((VECTORS / "history.json").read_text())["log"]]
FIRST = next(event for event in map(codec.decode_event, LOG) if event["event_seq"] == 1)
DECODERS: tuple[Callable[[bytes | None], Any], ...] = (
    codec.decode_command,
    codec.decode_event,
    codec.decode_reply,
    codec.decode_rejection,
    codec.decode_lease,
)
NUMBERS = st.integers(-JSON_INTEGER_MAX, JSON_INTEGER_MAX)
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)


@st.composite
def damaged(draw: st.DrawFn, sound: list[bytes]) -> bytes:
    """A sound record with some bytes changed, cut off, put in, or doubled."""
    raw = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        how = draw(st.sampled_from(("change", "cut", "insert", "double")))
        if how == "change":
            raw[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif how == "cut":
            del raw[at : at + draw(st.integers(1, 50))]
        elif how == "insert":
            raw[at:at] = draw(st.binary(min_size=1, max_size=20))
        else:
            raw[at:at] = raw[max(0, at - 30) : at]
    return bytes(raw)


def json_values(words: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """JSON in which the words of the product turn up, and wherever they do not belong."""
    scalars = st.none() | st.booleans() | NUMBERS | st.integers(-2, 9) | words
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5), max_leaves=15
    )


FIELDS = sorted({name for command in commands.COMMANDS.values() for name in command.__annotations__})
BODIES = json_values(st.sampled_from(FIELDS) | TEXTS)
PATHS = (
    "/tasks",
    "/goals",
    "/steps",
    "/grants",
    "/checkpoints",
    "/token_counter",
    "/tasks/x",
    "/goals/x",
    "/steps/x",
    "/",
)
OPERATIONS = json_values(st.sampled_from(("op", "path", "value", "add", "replace", "remove", *PATHS)) | TEXTS)
DELTAS = OPERATIONS | st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(("add", "replace", "remove", "move")), "path": st.sampled_from(PATHS) | TEXTS},
        optional={"value": OPERATIONS},
    ),
    max_size=4,
)
PARTS = json_values(st.sampled_from([*COLLECTIONS, TOKEN_COUNTER]) | TEXTS)
WORKS = PARTS | st.fixed_dictionaries(dict.fromkeys((*COLLECTIONS, TOKEN_COUNTER), PARTS))


def refused(kind: type[Exception], call: Callable[..., object], *arguments: Any) -> Any:
    """The error of that kind, or None. Any other one is the test's."""
    try:
        call(*arguments)
    except kind as error:
        return error
    return None


@given(
    st.none()
    | st.binary(max_size=300)
    | st.builds(bytes.__add__, st.sampled_from([each[:5] for each in SOUND]), st.binary())
)
def test_any_bytes_are_a_record_or_undecodable(raw: bytes | None) -> None:
    for decode in DECODERS:
        refused(codec.Undecodable, decode, raw)


@given(damaged(SOUND + LOG))
def test_a_damaged_record_is_another_record_or_undecodable(raw: bytes) -> None:
    for decode in DECODERS:
        refused(codec.Undecodable, decode, raw)


@given(damaged([raw for raw in SOUND if raw[4] == SOUND[0][4]]))
def test_a_damaged_command_is_decided_or_refused(raw: bytes) -> None:
    """Its form is what a sequencer checks: garbage that decodes is a command like any other."""
    if refused(codec.Undecodable, codec.decode_command, raw):
        return
    command, _ = codec.decode_command(raw)
    outcome = decide(State(command.workflow_id), command, 1)
    assert isinstance(outcome, (Accepted, Answered, Rejected))
    fault = refused(FormError, check_form, command)
    assert fault is None or (isinstance(outcome, Rejected) and outcome.code == fault.code)


@given(st.sampled_from(sorted(commands.COMMANDS)) | TEXTS, BODIES)
def test_any_json_is_a_body_or_has_a_field_at_fault(command_type: str, body: Any) -> None:
    if not refused(FormError, commands.parse, command_type, body):
        parsed = commands.parse(command_type, body)
        assert commands.parse(command_type, commands.body_of(parsed)) == parsed


@given(damaged([dumps({"a": [1, "é", None, True, {"b": -5}], "c": ""})]) | st.binary(max_size=100))
def test_a_text_in_the_log_is_a_body_or_has_a_fault(raw: bytes) -> None:
    refused(FormError, commands.parse_canonical, "create_goal", raw.decode(errors="replace"))


@given(st.lists(damaged(LOG) | st.sampled_from(LOG), max_size=6))
def test_a_reader_of_the_log_has_a_verdict_for_whatever_decodes(raws: list[bytes]) -> None:
    acceptance = START
    for raw in raws:
        if refused(codec.Undecodable, codec.decode_event, raw):
            continue
        after, verdict = judge(acceptance, codec.decode_event(raw))
        assert isinstance(after, Acceptance)
        assert (after.epoch, after.epoch_seq) >= (acceptance.epoch, acceptance.epoch_seq)
        assert verdict.accepted or after.source_offset == acceptance.source_offset
        acceptance = after


@given(DELTAS, st.sampled_from(("delta", "payload")))
def test_what_somebody_sealed_is_applied_or_damaged(value: Any, field: str) -> None:
    """All digests are right here, so that nothing protects what applies it."""
    chained: dict[str, Any] = {name: FIRST[name] for name in seal.CHAINED}  # type: ignore[literal-required]
    chained[field] = dumps(value).decode()
    chained["checksum"] = seal.digest(chained["payload"])
    event = seal.seal(chained)
    fold = Fold(State(event["workflow_id"]))
    damage = refused(Damaged, fold.add, event)
    if damage:
        assert damage.field in ("delta", "state_checksum")
    else:
        assert fold.state().head_seq == 1
        snapshot.base_of(event)


@given(WORKS, st.binary(max_size=60))
def test_any_json_as_a_snapshot_is_unsound(work: Any, slots: bytes) -> None:
    assert refused(Unsound, snapshot.state_of, "w", work, Head(1, "0" * 64, 1), "0" * 64, slots)
