"""Every route of the API, asked with the key of another tenant: what is there answers as what is not, byte for byte."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route

from continuity import Continuity, keys, topics
from continuity.api import surface
from continuity.api.__main__ import build
from continuity.config import Settings
from continuity.core.commands import COMMANDS
from continuity.projections.rejections import Rejections
from continuity.projections.running import keep_going
from tests.api.serving import serving
from tests.eventually import eventually
from tests.processors.running import Threaded, projecting, sequencing

pytestmark = pytest.mark.stack

OWNER = "tenant-that-owns-it"
RESULT = b'{"secret": "of the owner"}'
SERVICE_PATHS = {
    surface.SCHEMA_PATH, surface.DOCS_PATH, surface.OPENAPI_PATH, surface.HEALTH_PATH, surface.READY_PATH,
    surface.METRICS_PATH,
}  # fmt: skip
"""Open to all, and of no tenant: what they tell is looked at below."""


class Owned(NamedTuple):
    """The address of the whole system, and all names of what one tenant has in it."""

    url: str
    settings: Settings
    project: str
    goal_id: str
    task_id: str
    step_id: str
    command_id: str
    claim_id: str
    refused_id: str
    result_ref: str
    result_checksum: str

    def names(self) -> dict[str, str]:
        names = ("project", "goal_id", "task_id", "step_id", "command_id", "claim_id", "refused_id", "result_ref")
        return {name: getattr(self, name) for name in (*names, "result_checksum")}

    def caller(self, tenant: str | None = None) -> httpx.Client:
        """A client with the key of a tenant; of one that has nothing yet, without a name."""
        tenant = tenant or f"t-{uuid.uuid4().hex}"
        key = keys.issue_key(self.settings.data_dir, tenant=tenant, operator_id="eve", operator_kind="agent")
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def owned(stack: Settings, tmp_path_factory: Any) -> Iterator[Owned]:
    home = tmp_path_factory.mktemp("isolation")
    settings = stack.with_values(topic_prefix=f"isolation-{uuid.uuid4().hex[:6]}", data_dir=home, blobs=str(home / "b"))
    topics.create(settings)
    with ExitStack() as running:
        running.callback(topics.delete, settings)
        running.enter_context(sequencing(settings, wait=False))
        running.enter_context(projecting(settings))
        refusals = Threaded(partial(keep_going, Rejections(settings)))
        running.callback(refusals.stop)
        url = running.enter_context(serving(build(settings)))
        yield _work(url, settings)


def _work(url: str, settings: Settings) -> Owned:
    project, ids = f"p-{uuid.uuid4().hex}", [str(uuid.uuid4()) for _ in range(3)]
    key = keys.issue_key(settings.data_dir, tenant=OWNER, operator_id="ada", operator_kind="human")
    with Continuity(project, url=url, key=key) as work, httpx.Client(base_url=url, trust_env=False) as http:
        http.headers["Authorization"] = f"Bearer {key}"
        goal = work.create_goal("ship it", 1, command_id=ids[0])["goal_id"]
        task = work.add_task(goal, "first")["task_id"]
        work.add_task(goal, "second", wait="materialized")
        claimed = http.post(
            "/v1/claims", json={"owner_id": "me", "ttl_seconds": 600}, headers={"Idempotency-Key": ids[1]}
        )
        assert claimed.status_code == 201, claimed.text
        token = {"Fencing-Token": str(claimed.json()["lease"]["token"])}
        begin = {"step_type": "pure", "task_id": claimed.json()["lease"]["task_id"]}
        step = f"step-{uuid.uuid4().hex}"
        begun = http.post(f"/v1/projects/{project}/steps/{step}/attempts", json=begin, headers=token)
        assert begun.status_code == 201, begun.text
        kept = http.post(f"/v1/projects/{project}/results", content=RESULT).json()
        result = {"result_ref": kept["result_ref"], "result_checksum": kept["result_checksum"]}
        done = http.post(f"/v1/projects/{project}/steps/{step}/attempts/1/complete", json=result, headers=token)
        assert done.status_code == 200, done.text
        refused = http.post(
            f"/v1/projects/{project}/tasks/{uuid.uuid4()}/reopen", json={}, headers={"Idempotency-Key": ids[2]}
        )
        assert refused.status_code in (404, 409), refused.text
        seq = done.json()["event_seq"]
        assert http.get(f"/v1/projects/{project}/state?min_seq={seq}").status_code == 200
        eventually(lambda: http.get(f"/v1/commands/{ids[2]}").status_code == 200, 20, "the refusal can be asked for")
    return Owned(url, settings, project, goal, task, step, *ids, *result.values())


def absent(there: dict[str, str]) -> dict[str, str]:
    """Names of nothing, each as long as the one that there is."""
    made = {}
    for name, value in there.items():
        drawn = str(uuid.uuid4()) if re.fullmatch(r"[0-9a-f-]{36}", value) else uuid.uuid4().hex * 2
        made[name] = drawn if len(drawn) == len(value) else f"{value.partition('-')[0]}-{drawn}"[: len(value)]
    assert all(len(made[name]) == len(value) and made[name] != value for name, value in there.items())
    return made


class Call(NamedTuple):
    """One request, made of the names of what it is about. `makes`: it makes a project of the caller's own."""

    method: str
    path: str
    query: dict[str, str] | None = None
    body: Any = None
    command_id: str | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?' + ','.join(self.query) if self.query else ''}"


FIELDS: dict[str, Any] = {
    "text": "x", "priority": 1, "status": "paused", "goal_id": "{goal_id}", "task_id": "{task_id}", "title": "x",
    "acceptance_criteria": ["x"], "depends_on": ["{task_id}"], "reason": "x", "blocker": {"text": "x"}, "evidence": "x",
    "where_left_off": "x", "next_step": "x", "context_refs": [], "owner_id": "eve", "ttl_seconds": 60, "force": True,
    "step_id": "{step_id}", "step_type": "pure", "external_key": None, "attempt_id": 1, "result_ref": "{result_ref}",
    "result_checksum": "{result_checksum}", "error": "x", "to_seq": 1, "from_project": "{project}", "at_seq": 1,
}  # fmt: skip
"""A value for each field of a command. A field that is new has none, and the test says so."""
PARAMETERS: dict[str, str] = {
    "at_seq": "1", "for_owner": "me", "min_seq": "0", "limit": "5", "from_seq": "1", "to_seq": "2", "after_seq": "0",
    "task_id": "{task_id}", "cursor": "", "project": "{project}",
}  # fmt: skip


def calls() -> Iterator[Call]:
    for write in (*surface.WRITES, *surface.CLAIM_WRITES):
        names = {field.name for field in fields(COMMANDS[write.command_type])}
        body = {name: FIELDS[name] for name in sorted(names - {*surface.path_names(write.path), *write.absent})}
        given = {name: value for name, value in body.items() if value is not None}
        if write.method == "DELETE":
            yield Call(write.method, write.path, {name: json.dumps(value) for name, value in given.items()})
        else:
            yield Call(write.method, write.path, body=given)
    for read in surface.READS:
        possible = {name: PARAMETERS[name] for name in read.parameters if PARAMETERS[name]}
        needed = {name: value for name, value in possible.items() if name in ("from_seq", "task_id")}
        yield Call("GET", read.path, needed)
        yield Call("GET", read.path, possible)
    yield Call("GET", surface.EXPORT_PATH)
    yield Call("GET", surface.EXPORT_PATH, {"at_seq": "1"})
    yield Call("POST", surface.RESULTS_PATH, body=RESULT.decode())
    yield Call("GET", surface.RESULT_PATH)
    for name in ("claim_id", "refused_id"):
        yield Call("GET", surface.READS[-1].path.replace("command_id", name))
    yield Call("POST", surface.FLEET_PATH, body={"owner_id": "eve", "ttl_seconds": 60}, command_id="{claim_id}")
    command = {"command_type": "start_task", "command_id": "{command_id}", "project": "{project}"}
    yield Call("POST", surface.BATCH_PATH, body={"commands": [{**command, "body": {"task_id": "{task_id}"}}]})


CALLS = list(calls())


def test_no_route_is_forgotten(owned):
    routes = set()
    for route in build(owned.settings).routes:
        assert isinstance(route, Route)
        if route.path not in SERVICE_PATHS:
            routes |= {(method, route.path) for method in (route.methods or set()) - {"HEAD"}}
    asked = {
        (call.method, call.path.replace("claim_id", "command_id").replace("refused_id", "command_id")) for call in CALLS
    }
    assert routes == asked


def send(http: httpx.Client, call: Call, names: dict[str, str]) -> httpx.Response:
    def named(value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda found: names[found[1]], value)
        if isinstance(value, dict):
            return {key: named(each) for key, each in value.items()}
        return [named(each) for each in value] if isinstance(value, list) else value

    path = named(call.path.replace("{attempt_id}", "1"))
    headers = {} if call.method == "GET" else {"Idempotency-Key": named(call.command_id or str(uuid.uuid4()))}
    content = None if call.body is None else json.dumps(named(call.body)).encode()
    return http.request(call.method, path, params=named(call.query or {}), content=content, headers=headers)


VOLATILE = re.compile(
    r"[0-9a-f]{64}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z"
)
"""Ids, digests and times: what somebody who is given a project of his own is told of it differs in these."""


def told(response: httpx.Response, names: dict[str, str]) -> tuple[Any, ...]:
    """An answer, with the names that were asked for blotted out; of a refusal nothing else may differ."""
    text = response.text
    for name, value in names.items():
        text = text.replace(value, f"<{name}>")
    if response.is_success or '"command_id"' in text:
        text = re.sub(r'"(partition|offset)":\d+', "", VOLATILE.sub("<>", text))
    headers = {name: value for name, value in response.headers.items() if name not in ("date", "content-length")}
    return response.status_code, text, headers


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_what_another_tenant_has_answers_as_what_nobody_has(owned, call):
    there = owned.names()
    nothing = absent(there)
    with owned.caller() as one, owned.caller() as other:
        found, missing = send(one, call, there), send(other, call, nothing)
    assert told(found, there) == told(missing, nothing)
    assert OWNER not in found.text
    assert "secret" not in found.text
    if call.method == "GET" and call.path != "/v1/projects":
        assert found.status_code == 404, found.text


def test_the_names_are_those_of_what_there_is(owned):
    """Else all of the above would show nothing: the owner is given an answer to each question."""
    with owned.caller(OWNER) as http:
        for call in CALLS:
            if call.method == "GET":
                assert send(http, call, owned.names()).status_code == 200, call


def test_a_reference_to_anothers_result_in_a_step_of_ones_own_gives_nothing(owned):
    with owned.caller() as http:
        names = owned.names()
        goal = http.post(f"/v1/projects/{owned.project}/goals", json={"text": "mine"}).json()["goal_id"]
        task = http.post(f"/v1/projects/{owned.project}/tasks", json={"goal_id": goal, "title": "x"}).json()
        lease = http.post(f"/v1/projects/{owned.project}/lease", json={"owner_id": "eve", "ttl_seconds": 60}).json()
        token = {"Fencing-Token": str(lease["lease"]["token"])}
        steps = f"/v1/projects/{owned.project}/steps/{owned.step_id}/attempts"
        assert http.post(steps, json={"step_type": "pure"}, headers=token).status_code == 201
        stolen = {name: names[name] for name in ("result_ref", "result_checksum")}
        assert http.post(f"{steps}/1/complete", json=stolen, headers=token).status_code == 200
        given = http.get(f"/v1/projects/{owned.project}/results/{owned.result_ref}?")
        assert (given.status_code, b"secret" in given.content) == (404, False)
        assert task["task_id"] != owned.task_id, "the same name is another project"
        seen = http.get("/v1/projects", params={}).json()["projects"]
        assert [each["project"] for each in seen] in ([], [owned.project])
    with owned.caller(OWNER) as http:
        assert http.get(f"/v1/projects/{owned.project}/results/{owned.result_ref}").content == RESULT


def test_neither_metrics_nor_open_pages_tell_of_a_tenant(owned):
    with owned.caller(OWNER) as http:
        exposed = http.get(surface.METRICS_PATH).text
        pages = [http.get(path).text for path in SERVICE_PATHS - {surface.SCHEMA_PATH}]
    for family in text_string_to_metric_families(exposed):
        for sample in family.samples:
            assert not {"tenant", "project", "workflow", "workflow_id", "operator", "task_id"} & set(sample.labels)
    for page in (*pages, exposed):
        for name in (OWNER, *owned.names().values()):
            assert name not in page
