"""What beginning, completing and failing a step comes to on the wire: the logic of both clients' steps, no I/O."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from continuity.answers import Attempt
from continuity.client.errors import InvalidForm
from continuity.client.wire import Steps, Wire
from continuity.core.fields import DIGEST_TEXT
from continuity.core.ids import entity_id
from continuity.core.limits import STEP_ERROR_CHARACTERS_MAX

JSON_MEDIA = "application/json"
BYTES_MEDIA = "application/octet-stream"


class Begun(NamedTuple):
    """An attempt, or where `is_new` is false the completed step. `result` is the stored one, decoded."""

    attempt_id: int
    is_new: bool
    ambiguous: bool = False
    earlier_attempts: Sequence[Attempt] = ()
    result_ref: str | None = None
    result: Any = None


class Wanted(NamedTuple):
    """A step as its executor names it."""

    step_id: str
    step_type: str
    task_id: str | None
    external_key: str | None


def wanted(workflow_id: str, step_id: str, step_type: str, task_id: str | None, external_key: str | None) -> Wanted:
    """The step; a `non_idempotent` one has an external key, the same for every attempt, given or made of its name."""
    if external_key is None and step_type == "non_idempotent":
        external_key = entity_id(workflow_id, f"step/{step_id}")
    return Wanted(step_id, step_type, task_id, external_key)


def begin(wire: Wire, token: int, step: Wanted) -> Steps[Begun]:
    """Begin an attempt, or fetch what the step has resulted in."""
    answer = yield from wire.write("begin_step", step._asdict(), {"fencing_token": token})
    told = answer["step"]
    if told["status"] != "already_completed":
        # Of a repeat whose attempt is beyond recall nothing is told: it is an attempt like any other.
        earlier = told.get("earlier_attempts", [])
        ambiguous = told.get("ambiguous", False)
        return Begun(told["attempt_id"], is_new=True, ambiguous=ambiguous, earlier_attempts=earlier)
    ref, checksum = told.get("result_ref"), told.get("result_checksum")
    result = None
    if ref is not None and DIGEST_TEXT.fullmatch(ref):
        content, media = yield from wire.result(ref, checksum)
        result = decoded(content, media)
    return Begun(told["attempt_id"], is_new=False, result_ref=ref, result=result)


Encoded = tuple[bytes, str] | None


def complete(wire: Wire, token: int, step_id: str, attempt_id: int, result: Encoded) -> Steps[tuple[str | None, Any]]:
    """Store the result, then complete the step; the reference, and the result as a repeat would be given it."""
    fields: dict[str, Any] = {"step_id": step_id, "attempt_id": attempt_id}
    ref, given_back = None, None
    if result is not None:
        content, media = result
        stored = yield from wire.store_result(content, media)
        ref, given_back = stored["result_ref"], decoded(content, media)
        fields |= {"result_ref": ref, "result_checksum": stored["result_checksum"]}
    yield from wire.write("complete_step", fields, {"fencing_token": token})
    return ref, given_back


def fail(wire: Wire, token: int, step_id: str, attempt_id: int, error: BaseException) -> Steps[None]:
    """Close an attempt that an exception has ended."""
    said = "".join(c if c.isprintable() else " " for c in f"{type(error).__name__}: {error}".strip())
    fields = {"step_id": step_id, "attempt_id": attempt_id, "error": said[:STEP_ERROR_CHARACTERS_MAX]}
    yield from wire.write("fail_step", fields, {"fencing_token": token})


def encoded(result: Any) -> Encoded:
    """A result as bytes, with their media type; None for none. Raises InvalidForm."""
    if result is None:
        return None
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result), BYTES_MEDIA
    try:
        return orjson.dumps(result), JSON_MEDIA
    except orjson.JSONEncodeError as error:
        fix = "Give bytes, or what JSON has: strings, numbers, lists, dicts with string keys, None."
        raise InvalidForm(f"The result is neither bytes nor JSON: {error}.", fix=fix, code="invalid_field") from None


def decoded(content: bytes, media: str) -> Any:
    """What `encoded` was given, in the form that JSON has for it."""
    return orjson.loads(content) if media.partition(";")[0].strip() == JSON_MEDIA else content


class Executing:
    """What both clients' steps are without any I/O: the name, the attempt and what it resulted in."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._begun: Begun | None = None
        self.result: Any = None
        self.result_ref: str | None = None

    @property
    def step_id(self) -> str:
        """Its name."""
        return self._wanted.step_id

    @property
    def external_key(self) -> str | None:
        """The key under which the other side knows it: the same for every attempt."""
        return self._wanted.external_key

    @property
    def is_new(self) -> bool:
        """Whether it has still to be done."""
        return self._attempt.is_new

    @property
    def attempt_id(self) -> int:
        """The number of this attempt, or of the one that completed the step."""
        return self._attempt.attempt_id

    @property
    def ambiguous(self) -> bool:
        """Whether an earlier attempt may have taken effect: ask the other side by `external_key` first."""
        return self._attempt.ambiguous

    @property
    def earlier_attempts(self) -> Sequence[Attempt]:
        """The attempts before this one, and how they ended."""
        return self._attempt.earlier_attempts

    @property
    def _attempt(self) -> Begun:
        if self._begun is None:
            raise RuntimeError("A step begins with its `with` block.")
        return self._begun
