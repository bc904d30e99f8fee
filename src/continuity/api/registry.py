"""The schemas of our topics, read by id as from a schema registry: a Confluent-compatible deserializer can point here.

Read only: the schemas are part of the release, and their ids are the ones in the framing of every record.
"""

from functools import cache

import orjson
from starlette.requests import Request
from starlette.responses import Response

from continuity import codec
from continuity.api import problems

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


async def schema(request: Request) -> Response:
    """`GET /schemas/ids/{schema_id}`: `{"schema": the Avro schema as a string}`."""
    wanted = request.path_params["schema_id"]
    text = _texts().get(wanted)
    if text is None:
        return problems.answer(problems.document("not_found", f"There is no schema with the id {wanted!r:.40}."))
    return Response(orjson.dumps({"schema": text, "schemaType": "AVRO"}), media_type=MEDIA_TYPE)


@cache
def _texts() -> dict[str, str]:
    return {str(number): codec.schema_text(file.removesuffix(".avsc")) for number, file in codec.schema_ids().items()}
