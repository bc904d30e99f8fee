"""The decider: given the state, a command and the time, what happens. Pure; the only place where work is decided.

Checks come in a fixed order: form, idempotency, predecessor, `expected_seq`, fence, rule. One accepted command is
exactly one event. `now` is the command record's broker timestamp; it never runs backwards within a workflow, and no
other clock enters a decision. (Design, section 2.)
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from continuity.core import canonical, commands, delta, grants, history, limits, repeats, steps, work
from continuity.core import transitions as table
from continuity.core.commands import Body
from continuity.core.evolve import changes
from continuity.core.fields import FormError
from continuity.core.ids import NAME, NIL, UUID_TEXT, event_id, instant, workflow_id
from continuity.core.liveness import NO_RENEWALS, Liveness
from continuity.core.outcome import Accepted, Answered, Context, Draft, Outcome, Refusal, Rejected
from continuity.core.records import SCHEMA_VERSION, Change, Command, Voided
from continuity.core.seal import PRODUCER_VERSION, digest, seal
from continuity.core.state import State

_SENDER = attrgetter("tenant", "project", "workflow_id", "operator_id", "operator_kind", "session_id")
GATED = frozenset(command for command, event_type in table.EVENT_TYPES.items() if event_type in grants.ACTING)
"""What tells that an executor is alive is what only the holder may do."""
BYTES_OF_A_CHARACTER = 4
OPERATOR_KINDS = ("human", "agent", "automation", "device")
PRINTABLE = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff]{{1,{limits.OPERATOR_CHARACTERS_MAX}}}")


def decide(
    state: State, command: Command, now: int, liveness: Liveness = NO_RENEWALS, past: State | None = None
) -> Outcome:
    """Decide one command. `now` in microseconds since 1970. The same arguments give the same decision, for ever.

    `past` is the older state that a rollback or a fork goes back to (`core.history.origin`).
    """
    try:
        body = check_form(command)
    except FormError as error:
        return Rejected(error.code, error.detail)
    command_digest = digest(f"{command.command_type}\n{command.body}")
    known = repeats.known(state, command, command_digest, body)
    if known is not None:
        return known
    try:
        _check_conditions(state, command)
        now = max(now, state.head_timestamp)
        context = Context(state, command, now, liveness, _pass_fence(state, command, body, now, liveness), past)
        draft = RULES[command.command_type](context, body)
        return draft if isinstance(draft, Answered) else _accept(context, command_digest, draft)
    except Refusal as refusal:
        return refusal.rejected


def check_form(command: Command) -> Body:
    """The typed body of a well-formed command; `FormError` names the first field at fault."""
    after = command.command_id if command.after is None else command.after
    for name, value in (("command_id", command.command_id), ("after", after)):
        if not UUID_TEXT.fullmatch(value) or value == NIL:
            raise FormError("invalid_field", f"{name} must be a UUID in lower case, and not the nil UUID.")
    fault = _sender_fault(*_SENDER(command))
    if fault:
        raise FormError("invalid_field", fault)
    return commands.parse_canonical(command.command_type, command.body)


@lru_cache(maxsize=8_192)
def _sender_fault(
    tenant: str, project: str, workflow: str, operator_id: str, operator_kind: str, session_id: str | None
) -> str | None:
    """What is wrong with whose and who, or None: the same for every command of one operator in one project."""
    for name, value in (("tenant", tenant), ("project", project)):
        if not NAME.fullmatch(value):
            return f"{name} must match {NAME.pattern}."
    if workflow != workflow_id(tenant, project):
        return "workflow_id is not the one of this tenant and project."
    if operator_kind not in OPERATOR_KINDS:
        return f"operator_kind must be one of {', '.join(OPERATOR_KINDS)}."
    session_id = operator_id if session_id is None else session_id
    for name, value in (("operator_id", operator_id), ("session_id", session_id)):
        if not PRINTABLE.fullmatch(value):
            return f"{name} must have 1 to {limits.OPERATOR_CHARACTERS_MAX} printable characters."
    return None


def _check_conditions(state: State, command: Command) -> None:
    if command.after is not None and state.window.find(command.after, state.head_seq) is None:
        raise Refusal("predecessor_missing", f"The command {command.after} that this one follows was not accepted.")
    if command.expected_seq is not None and command.expected_seq != state.head_seq:
        raise Refusal(
            "expected_seq_mismatch", f"The head is {state.head_seq}, the command expected {command.expected_seq}."
        )


def _pass_fence(state: State, command: Command, body: Body, now: int, liveness: Liveness) -> list[Voided]:
    """A lease gates transitions, checkpoints and steps; creating and amending stay free."""
    grants.check_token(state, command)
    if not state.grants or command.command_type not in GATED:
        return []
    task_id = getattr(body, "task_id", None)
    if isinstance(body, steps.StepCommand):
        task_id = steps.task_of(state, body, command.fencing_token)
    return grants.pass_fence(state, command, now, liveness, task_id)


def _accept(context: Context, command_digest: str, draft: Draft) -> Accepted:
    state, command, now = draft.base or context.state, context.command, context.now
    seq = state.head_seq + 1
    event_type = draft.event_type or table.EVENT_TYPES[command.command_type]
    if context.voided:
        draft.payload["voided"] = context.voided
    made: list[Change] | None = draft.changes
    if made is None:
        made = changes(state, event_type, draft.payload, seq, instant(now))
    after = state.with_changes(made)
    if after.size_bytes > limits.STATE_BYTES_MAX:
        raise Refusal("state_too_large", f"The state would have {after.size_bytes} bytes.")
    patch = canonical.text(delta.of_changes(state, made))
    if len(patch) > limits.DELTA_BYTES_MAX // BYTES_OF_A_CHARACTER and len(patch.encode()) > limits.DELTA_BYTES_MAX:
        raise Refusal("delta_too_large", f"The change would have {len(patch.encode())} bytes.")
    payload = canonical.text(draft.payload)
    event = seal(
        {
            "event_id": event_id(now, state.workflow_id, seq, command.command_id),
            "tenant": command.tenant,
            "project": command.project,
            "workflow_id": state.workflow_id,
            "event_seq": seq,
            "event_type": event_type,
            "payload": payload,
            "timestamp": now,
            "schema_version": SCHEMA_VERSION,
            "producer_version": PRODUCER_VERSION,
            "checksum": digest(payload),
            "command_id": command.command_id,
            "command_digest": command_digest,
            "operator_id": command.operator_id,
            "operator_kind": command.operator_kind,
            "session_id": command.session_id,
            "goal_id": draft.goal_id,
            "task_id": draft.task_id,
            "step_id": draft.step_id,
            "from_status": draft.from_status,
            "to_status": draft.to_status,
            "fencing_token": draft.fencing_token or command.fencing_token,
            "delta": patch,
            "state_checksum": after.checksum,
            "prev_hash": state.head_hash,
        }
    )
    return Accepted(event, after.with_head(event), draft.result)


RULES: Final[Mapping[str, Callable[[Context, Any], Draft | Answered]]] = {
    **work.RULES,
    "acquire_lease": grants.acquire,
    "renew_lease": grants.renew,
    "release_lease": grants.release,
    "claim_task": grants.claim,
    "begin_step": steps.begin,
    "complete_step": steps.complete,
    "fail_step": steps.fail,
    "rollback": history.rollback,
    "fork_project": history.fork,
}
"""One for each command. A rule returns a draft, or an answer without an event, or leaves with a refusal."""
