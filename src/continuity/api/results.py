"""What steps resulted in: bytes in, a reference and a checksum out, and back again, verified.

A result lies in the blob store behind a line that names its workflow, so its name is another one in each project, and
whoever comes to know the name of somebody else's is told the same as for one that does not exist.
"""

import asyncio
from hashlib import sha256
from http import HTTPStatus
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from continuity.api import incoming
from continuity.api.ports import BlobPort, ReadPort
from continuity.api.problems import Problem
from continuity.blobs import Missing
from continuity.core.fields import DIGEST_TEXT
from continuity.core.ids import workflow_id
from continuity.errors import Retryable
from continuity.keys import Caller

RESULT_BYTES_MAX: Final = 8 * 1024 * 1024
AT_ONCE_MAX: Final = 8
"""Results in memory at once: 64 MiB, as much as all commands together."""
MEDIA_CHARACTERS_MAX: Final = 200
DEFAULT_MEDIA: Final = "application/octet-stream"
MARK: Final = b"continuity-result 1"


class Results:
    """The handlers of results."""

    def __init__(self, blobs: BlobPort, reads: ReadPort) -> None:
        self._blobs = blobs
        self._reads = reads
        self._inside = 0

    async def store(self, request: Request, caller: Caller) -> Response:
        """`POST …/results`: keep the body. The same content has the same reference, and is kept once."""
        incoming.parameters(request, ())
        project = incoming.project_name(request.path_params["project"])
        media = _media(incoming.headers_of(request).get(b"content-type"))
        if await self._reads.head_seq(caller.tenant, project) is None:
            raise Problem("unknown_project", f"There is no project {project!r}.")
        self._enter()
        try:
            content = await incoming.content(request, RESULT_BYTES_MAX)
            kept = b"\n".join((MARK, workflow_id(caller.tenant, project).encode(), media.encode(), content))
            ref = await asyncio.to_thread(self._blobs.put, kept)
        finally:
            self._inside -= 1
        body = {"result_ref": ref, "result_checksum": sha256(content).hexdigest(), "size_bytes": len(content)}
        return Response(orjson.dumps(body), HTTPStatus.CREATED, media_type=JSONResponse.media_type)

    async def give(self, request: Request, caller: Caller) -> Response:
        """`GET …/results/{result_ref}`: the bytes, as they were given, with their media type."""
        incoming.parameters(request, ())
        project = incoming.project_name(request.path_params["project"])
        ref = request.path_params["result_ref"]
        unknown = Problem("not_found", f"Project {project!r} has no result {ref!r:.80}.", fix="Check the result_ref.")
        if not DIGEST_TEXT.fullmatch(ref):
            raise unknown
        self._enter()
        try:
            kept = await asyncio.to_thread(self._blobs.get, ref)
        except Missing:
            raise unknown from None
        finally:
            self._inside -= 1
        mark, *rest = kept.split(b"\n", 3)
        if mark != MARK or rest[0] != workflow_id(caller.tenant, project).encode():
            raise unknown
        _, media, content = rest
        headers = {"Content-Type": media.decode(), "X-Content-Type-Options": "nosniff"}
        return Response(content, headers=headers)

    def _enter(self) -> None:
        if self._inside >= AT_ONCE_MAX:
            raise Retryable("Too many results are on their way.", code="overloaded", fix="Repeat after Retry-After.")
        self._inside += 1


def _media(value: bytes | None) -> str:
    text = DEFAULT_MEDIA if value is None else value.decode("latin-1").strip()
    if not 0 < len(text) <= MEDIA_CHARACTERS_MAX or not text.isascii() or not text.isprintable():
        raise Problem("invalid_field", f"Content-Type must have 1 to {MEDIA_CHARACTERS_MAX} printable characters.")
    return text
