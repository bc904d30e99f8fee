"""What a request says, checked and named: headers, query parameters, path segments and the JSON body.

Everything here ends a request with a `Problem` that names the header or field at fault; nothing is sent or read yet.
A parameter that a route does not know is refused, because ignoring `?at_seq=5` would answer another question.
"""

import asyncio
import base64
import re
import uuid
from collections.abc import AsyncIterator, Collection
from typing import Any, Literal, NamedTuple, get_args

from starlette.requests import Request

from continuity.api.problems import Problem, refuse
from continuity.core import canonical
from continuity.core.fields import Text
from continuity.core.ids import NAME, NIL, UUID_TEXT
from continuity.core.limits import COMMAND_BYTES_MAX, JSON_INTEGER_MAX, OPERATOR_CHARACTERS_MAX

BODY_SECONDS_MAX = 10.0
SILENCE_SECONDS_MAX = 60.0
SESSION_CHARACTERS_MAX = 200
PAGE_DEFAULT = 100
PAGE_MAX = 1_000

Wait = Literal["durable", "committed", "materialized"]
WAITS: tuple[Wait, ...] = get_args(Wait)

_OWNER = Text(OPERATOR_CHARACTERS_MAX, one_line=True)
_CURSOR_RULE = "must be the `next_cursor` of an earlier answer."
_SESSION_RULE = f"must have 1 to {SESSION_CHARACTERS_MAX} printable ASCII characters."
_SEQ_TAG = re.compile(r'"seq-(\d{1,16})"')


class Conditions(NamedTuple):
    """What the headers of a write say."""

    command_id: str
    expected_seq: int | None
    fencing_token: int | None
    session_id: str | None


def headers_of(request: Request) -> dict[bytes, bytes]:
    """The headers by lower-case name; of a repeated one the last counts."""
    return dict(request.scope["headers"])


def conditions(headers: dict[bytes, bytes]) -> Conditions:
    """Idempotency-Key, If-Match, Fencing-Token and Session-Id of a write; a key is made where none is sent."""
    return Conditions(
        command_id=_command_id(headers.get(b"idempotency-key")),
        expected_seq=_expected_seq(headers.get(b"if-match")),
        fencing_token=_integer("Fencing-Token", headers.get(b"fencing-token")),
        session_id=session(headers[b"session-id"].decode("latin-1")) if b"session-id" in headers else None,
    )


def session(value: Any) -> str | None:
    """A session's name, checked; None stays None."""
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= SESSION_CHARACTERS_MAX or not value.isascii():
        refuse("Session-Id", _SESSION_RULE)
    if not value.isprintable():
        refuse("Session-Id", _SESSION_RULE)
    return value


def project_name(value: str) -> str:
    """A project's name, checked."""
    if not NAME.fullmatch(value):
        refuse("project", f"must match {NAME.pattern}.")
    return value


def identifier(name: str, value: str) -> str:
    """A UUID, checked; upper case is taken as lower case."""
    lowered = value.lower()
    if not UUID_TEXT.fullmatch(lowered):
        refuse(name, "must be a UUID.")
    return lowered


def parameters(request: Request, known: Collection[str]) -> dict[str, str]:
    """The query parameters of a route, each at most once and none that it does not know."""
    if not request.scope["query_string"]:
        return {}
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            names = f": it takes {', '.join(sorted(known))}." if known else "."
            raise Problem("unknown_field", f"This path has no parameter {name!r:.80}{names}")
        if name in given:
            refuse(name, "must stand once.")
        given[name] = value
    return given


def wait_of(given: dict[str, str]) -> Wait:
    """What a write waits for: `durable`, `committed` (the default) or `materialized`."""
    word = given.get("wait", "committed")
    if word not in WAITS:
        refuse("wait", f"must be one of {', '.join(WAITS)}.")
    return word


def number(given: dict[str, str], name: str, default: int, *, minimum: int = 0, maximum: int = JSON_INTEGER_MAX) -> int:
    """A whole number among the query parameters."""
    if name not in given:
        return default
    text = given[name]
    if not text.isascii() or not text.isdigit() or len(text) > canonical.INTEGER_DIGITS_MAX:
        refuse(name, f"must be an integer from {minimum} to {maximum}.")
    if not minimum <= int(text) <= maximum:
        refuse(name, f"must be an integer from {minimum} to {maximum}.")
    return int(text)


def flag(given: dict[str, str], name: str) -> bool:
    """A `true` or `false` among the query parameters; false where it is absent."""
    word = given.get(name, "false")
    if word not in {"true", "false"}:
        refuse(name, "must be true or false.")
    return word == "true"


def owner(given: dict[str, str], name: str) -> str | None:
    """Who executes, among the query parameters: any name under which a lease or claim can be held; None if absent."""
    value = given.get(name)
    if value is not None:
        _OWNER.check(value, name)
    return value


def after_seq(given: dict[str, str]) -> int:
    """The place in a journal that a cursor stands for: the last `event_seq` that was read; 0 without one."""
    place = _place(given, "seq") or "0"
    if not place.isdigit() or len(place) > canonical.INTEGER_DIGITS_MAX:
        refuse("cursor", _CURSOR_RULE)
    return int(place)


def after_name(given: dict[str, str]) -> str:
    """The place in a list of projects that a cursor stands for: the last name that was read; empty without one."""
    return _place(given, "name")


def cursor(kind: Literal["seq", "name"], place: int | str) -> str:
    """Where the next page begins, opaque: callers hand it back, and nobody depends on what is in it."""
    return base64.urlsafe_b64encode(f"{kind}:{place}".encode()).decode()


async def json_object(request: Request) -> dict[str, Any]:
    """The body as an object within the JSON subset; an empty body is an empty object. The media type is not asked."""
    body = await _body(request, COMMAND_BYTES_MAX)
    if not body:
        return {}
    value = canonical.loads(body)
    if not isinstance(value, dict):
        raise Problem("json_syntax", "The body must be a JSON object.")
    return value


async def content(request: Request, bytes_max: int) -> bytes:
    """The body as it is, of any media type."""
    return await _body(request, bytes_max)


async def lines(request: Request, line_bytes_max: int) -> AsyncIterator[bytes | None]:
    """The lines of a streamed body without their ends, blank ones left out; None stands for one that is too long.

    Raises TimeoutError when the sender is silent for longer than SILENCE_SECONDS_MAX.
    """
    held = b""
    too_long = False
    chunks = request.stream()
    while (chunk := await asyncio.wait_for(anext(chunks, None), SILENCE_SECONDS_MAX)) is not None:
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            if too_long or len(line) > line_bytes_max:
                too_long = False
                yield None
            elif stripped := line.strip():
                yield stripped
        if len(held) > line_bytes_max:
            held, too_long = b"", True
    if too_long:
        yield None
    elif last := held.strip():
        yield last


def _place(given: dict[str, str], kind: Literal["seq", "name"]) -> str:
    if "cursor" not in given:
        return ""
    try:
        found, _, place = (
            base64.b64decode(given["cursor"].encode(), altchars=b"-_", validate=True).decode().partition(":")
        )
    except ValueError:
        refuse("cursor", _CURSOR_RULE)
    if found != kind or not place.isascii() or "\x00" in place:
        refuse("cursor", _CURSOR_RULE)
    return place


async def _body(request: Request, bytes_max: int) -> bytes:
    # One message holds a whole small request: only a body that trickles in pays for a timer.
    message = await request.receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        held = bytearray(body)
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                while message.get("more_body") and len(held) <= bytes_max:
                    message = await request.receive()
                    held += message.get("body", b"")
        except TimeoutError:
            raise Problem("json_syntax", f"The body did not arrive within {BODY_SECONDS_MAX:.0f} seconds.") from None
        body = bytes(held)
    if len(body) > bytes_max:
        fix = None if bytes_max == COMMAND_BYTES_MAX else "Store it elsewhere and send a reference."
        raise Problem("command_too_large", f"The body has more than {bytes_max} bytes.", fix=fix)
    return body


def _command_id(value: bytes | None) -> str:
    if value is None:
        return str(uuid.uuid4())
    found = identifier("Idempotency-Key", value.decode("latin-1"))
    if found == NIL:
        refuse("Idempotency-Key", "must not be the nil UUID: two commands would have the same.")
    return found


def _expected_seq(value: bytes | None) -> int | None:
    if value is None:
        return None
    tag = _SEQ_TAG.fullmatch(value.decode("latin-1").strip())
    if tag is None or int(tag[1]) > JSON_INTEGER_MAX:
        refuse("If-Match", 'must be one entity tag like "seq-184", as ETag gave it.')
    return int(tag[1])


def _integer(name: str, value: bytes | None) -> int | None:
    return None if value is None else number({name: value.decode("latin-1").strip()}, name, 0)
