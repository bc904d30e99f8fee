"""Problem answers (RFC 9457): every refusal and failure of the API as one JSON shape with `code`, `detail` and `fix`.

A status and the usual fix of a code come from `core.refusals` alone. This module turns the product's exceptions into
answers and knows nothing of routes; what an unforeseen exception says is logged and never sent.
"""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

import orjson
from starlette.responses import Response

from continuity.core.canonical import InvalidJson
from continuity.core.fields import FormError
from continuity.core.refusals import REFUSALS
from continuity.errors import ContinuityError, IntegrityError, Retryable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS_MAX = 60

log = logging.getLogger(__name__)


class Problem(Exception):
    """Ends a request with a refusal of `core.refusals`; `members` are further members of the answer."""

    def __init__(self, code: str, detail: str, *, fix: str | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fix = fix
        self.members = members


def refuse(field: str, rule: str, *, code: str = "invalid_field") -> NoReturn:
    """End the request because a header, parameter or path segment has the wrong form."""
    raise Problem(code, f"{field} {rule}")


def document(code: str, detail: str, fix: str | None = None, **members: Any) -> dict[str, Any]:
    """The members of a problem. `type` is absent, which RFC 9457 reads as about:blank: the title is the status's."""
    refusal = REFUSALS.get(code) or REFUSALS["internal"]
    status = refusal.http_status
    present = {name: value for name, value in members.items() if value is not None}
    title = HTTPStatus(status).phrase
    return {"title": title, "status": status, "code": code, "detail": detail, "fix": fix or refusal.fix, **present}


def answer(body: Mapping[str, Any], *, retry_after_seconds: float = 1.0) -> Response:
    """The HTTP response of a problem document, with the headers that its status asks for."""
    status = body["status"]
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="continuity"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        seconds = min(max(1, math.ceil(retry_after_seconds)), RETRY_AFTER_SECONDS_MAX)
        headers["Retry-After"] = str(seconds)
    return Response(orjson.dumps(body), status, headers, media_type=MEDIA_TYPE)


def of_exception(error: Exception | None, command_id: str | None = None) -> dict[str, Any]:
    """The problem that an exception means to the caller."""
    if isinstance(error, Problem):
        return document(error.code, error.detail, error.fix, **{"command_id": command_id, **error.members})
    if isinstance(error, FormError | InvalidJson):
        return document(error.code, error.detail, command_id=command_id)
    if isinstance(error, Retryable):
        code = error.code if error.code in REFUSALS else "unavailable"
        # A question has no command_id to repeat it with.
        fix = error.fix if command_id or "command_id" not in error.fix else REFUSALS["overloaded"].fix
        return document(code, error.detail, fix, command_id=command_id)
    if isinstance(error, IntegrityError):
        log.error("A damaged record was not served: %s", error)
        where = {"workflow_id": error.workflow_id or None, "event_seq": error.event_seq, "field": error.field}
        return document("integrity", error.detail, error.fix, **where)
    if isinstance(error, ContinuityError):
        log.error("%s: %s", error.code, error)
    else:
        log.error("An unforeseen error ended a request.", exc_info=error)
    return document("internal", "The service failed on this request.", command_id=command_id)


def response(error: Exception, command_id: str | None = None) -> Response:
    """The HTTP response that an exception means to the caller."""
    seconds = error.retry_after_seconds if isinstance(error, Retryable) else 1.0
    return answer(of_exception(error, command_id), retry_after_seconds=seconds)
