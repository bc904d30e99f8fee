"""What `schemathesis` asks us while it runs, in its own environment: real ids, media types it lacks, and counting.

It is given two files by the environment: the facts to read, and the tally to write when it ends.
"""

import atexit
import json
import os
from collections.abc import Sequence
from copy import copy
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema_rs
import schemathesis
from hypothesis import strategies as st
from schemathesis import cli
from schemathesis.engine import events

from fuzz.places import Facts, Known
from fuzz.tally import Failure, Tally

FACTS = "CONTINUITY_FUZZ_FACTS"
TALLY = "CONTINUITY_FUZZ_TALLY"
NDJSON = "application/x-ndjson"
LINES_MAX = 4
AS_DRAWN = 8
"""One request in so many stays as it was drawn, to things that do not exist."""

facts = Facts.read(Path(os.environ[FACTS]))
tally = Tally()
atexit.register(lambda: tally.write(Path(os.environ[TALLY])))
_choices: list[Known | None] = [*facts.places, *[None] * (len(facts.places) // AS_DRAWN + 1)]
_turns = count()


@schemathesis.hook
def flatmap_case(context: schemathesis.HookContext, case: schemathesis.Case) -> st.SearchStrategy[schemathesis.Case]:
    """Put a drawn request into a place: a whole request, because its project, its task and its token go together."""
    del context
    more = st.lists(st.sampled_from(facts.lines), max_size=LINES_MAX) if _is_batch(case) else st.just([])
    return st.tuples(st.sampled_from(_choices), more).map(lambda drawn: _placed(case, *drawn))


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case) -> schemathesis.Case:
    """The same for the coverage phase, which enumerates its requests and asks nothing else: the places in turn."""
    del context
    if case.meta is None or case.meta.phase.name.value != "coverage":
        return case
    turn = next(_turns)
    if case.query.get("wait") == "durable" and turn % AS_DRAWN:
        # The first of the words, and so in nearly all that it enumerates; such an answer does not tell the decision.
        case.query = {**case.query, "wait": "committed"}
    return _placed(case, _choices[turn % len(_choices)], facts.lines[: turn % LINES_MAX] if _is_batch(case) else [])


def _placed(case: schemathesis.Case, place: Known | None, more: Sequence[dict[str, Any]]) -> schemathesis.Case:
    # Assigned even where nothing has changed: this makes it ask anew whether they are valid, by what is sent and no
    # longer by how it was drawn. It otherwise takes a header that nobody declared for a violation of the document.
    for name, put in (("path_parameters", facts.put), ("query", facts.put), ("headers", facts.put_token)):
        if values := copy(getattr(case, name)):
            put(place, values)
            setattr(case, name, values)
    if place and "min_seq" in (case.query or {}) and "project" not in {**(case.path_parameters or {}), **case.query}:
        # That the one counts in the other the document says in words only.
        case.query = {**case.query, "project": place["project"]}
    if isinstance(case.body, dict):
        body = dict(case.body)
        facts.put(place, body)
        case.body = [body, *more] if more else body
    if _is_valid(case):
        # Afterwards, because an event number that was drawn to be wrong is wrong for its cursor, too.
        if "cursor" in case.query:
            case.query = {**case.query, "cursor": facts.cursors[case.operation.label]}
        if isinstance(case.body, dict | list):
            case.body = _integers(case.body)
    return case


def _is_valid(case: schemathesis.Case) -> bool:
    return bool(case.meta is not None and case.meta.generation.mode.is_positive)


def _integers(value: Any) -> Any:
    """Write 1.0 as 1: an integer to JSON Schema, and a float to the API, which the document says in words only."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _integers(each) for name, each in value.items()}
    return [_integers(each) for each in value] if isinstance(value, list) else value


def _is_batch(case: schemathesis.Case) -> bool:
    return bool(case.media_type == NDJSON)


@schemathesis.serializer(NDJSON)
def lines_of(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A line for each object; anything else is a line of its own."""
    del context
    lines = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


@schemathesis.check
def batch_lines_conform(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Each line of a batch's answer is as the document says, and none is a server's failure.

    The document has the shape of one line, because OpenAPI 3.1 cannot say *lines of*; the usual check reads JSON only.
    """
    del context
    if response.status_code != HTTPStatus.OK or not response.headers["content-type"][0].startswith(NDJSON):
        return
    document = case.operation.schema.raw_schema
    reference = {"$ref": "#/components/schemas/BatchAnswer", "components": document["components"]}
    validator = jsonschema_rs.validator_for(reference)
    for number, line in enumerate(response.content.splitlines(), start=1):
        told = json.loads(line)
        wrong = next((error.message for error in validator.iter_errors(told)), None)
        if wrong is not None:
            raise AssertionError(f"Line {number}: {wrong}\n\n{line.decode()}")
        if told["line"] != number or told["http_status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise AssertionError(f"Line {number} was answered with {line.decode()}")


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    """Count the answer."""
    del context
    tally.answers[case.operation.label, response.status_code] += 1


@schemathesis.hook
def after_network_error(context: schemathesis.HookContext, case: schemathesis.Case, request: Any) -> None:
    """Count that there was none."""
    del context, request
    tally.unanswered[case.operation.label] += 1


@cli.handler()
class Findings(cli.EventHandler):
    """Counts the checks that failed: the hook `after_validate` is not called by the command line."""

    def handle_event(self, context: cli.ExecutionContext, event: events.EngineEvent) -> None:
        """Look at what a finished scenario has recorded."""
        del context
        if not isinstance(event, events.ScenarioFinished):
            return
        for case_id, checks in event.recorder.checks.items():
            operation = event.recorder.cases[case_id].value.operation.label
            for each in checks:
                if each.failure_info is not None:
                    tally.failures[Failure(operation, each.name, each.failure_info.failure.title)] += 1
