"""What the OpenAPI document says of a request is what the API does with it. (`./dev fuzz` asks much more of it.)"""

import re

import pytest

PROJECT = "/v1/projects/{project}"
UUID = "3F0F7D3E-6f0e-5d59-9d3c-8f6a1f0f7f10"
REQUIRED = {("/diff", "from_seq"), ("/history", "task_id")}


@pytest.fixture(scope="module")
def paths(served):
    return served.app.openapi()["paths"]


def parameters(paths, path, method):
    return {each["name"]: each for each in paths[path][method]["parameters"]}


def test_a_parameter_is_required_where_the_question_makes_no_sense_without_it(stage, paths):
    said = {
        (path.removeprefix(PROJECT), each["name"])
        for path, operations in paths.items()
        for operation in operations.values()
        for each in operation["parameters"]
        if each["in"] == "query" and each.get("required")
    }
    assert said == REQUIRED
    for below, _ in REQUIRED:
        assert stage.http.get(f"/v1/projects/known{below}").json()["code"] == "missing_field"


def test_counts_end_where_the_api_ends_them(stage, paths):
    schema = parameters(paths, f"{PROJECT}/next-step", "get")["min_seq"]["schema"]
    largest = schema["maximum"]
    url = "/v1/projects/known/next-step?min_seq="
    assert stage.http.get(f"{url}{largest}").status_code == 200
    assert stage.http.get(f"{url}{largest + 1}").status_code == 422


@pytest.mark.parametrize(
    ("header", "value", "is_taken"),
    [
        ("If-Match", '"seq-184"', True),
        ("If-Match", '"seq-"', False),
        ("If-Match", f'"seq-{2**53}"', False),
        ("Idempotency-Key", UUID, True),
        ("Idempotency-Key", UUID[1:], False),
        ("Session-Id", "a b", True),
        ("Session-Id", "x" * 200, True),
        ("Session-Id", "x" * 201, False),
        ("Session-Id", "a\tb", False),
        ("Session-Id", "", False),
    ],
)
def test_a_header_is_taken_as_its_schema_says(stage, paths, header, value, is_taken):
    schema = parameters(paths, f"{PROJECT}/goals", "post")[header]["schema"]
    fits = re.fullmatch(schema["pattern"], value) and len(value) <= schema.get("maxLength", len(value))
    assert bool(fits) is is_taken
    response = stage.http.post("/v1/projects/known/goals", json={"text": "x"}, headers={header: value})
    assert response.is_success is is_taken


def test_ids_in_a_path_may_have_upper_case(stage, paths):
    schema = parameters(paths, f"{PROJECT}/tasks/{{task_id}}/start", "post")["task_id"]["schema"]
    assert re.fullmatch(schema["pattern"], UUID)
    assert stage.http.post(f"/v1/projects/known/tasks/{UUID}/start").is_success


def test_a_fleets_claim_is_never_durable(stage, paths):
    stage.assignments.projects.append("known")
    words = parameters(paths, "/v1/claims", "post")["wait"]["schema"]["enum"]
    assert words == ["committed", "materialized"]
    body = {"owner_id": "me", "ttl_seconds": 60}
    assert stage.http.post("/v1/claims?wait=durable", json=body).status_code == 422
    assert all(stage.http.post(f"/v1/claims?wait={word}", json=body).is_success for word in words)


@pytest.mark.parametrize("owner", ["worker 7", "wörker\u00a07", "worker\t7", "x" * 200])
def test_whoever_can_hold_a_claim_can_ask_what_is_next_for_them(stage, owner):
    body = {"owner_id": owner, "ttl_seconds": 60}
    assert stage.http.post("/v1/projects/known/claims", json=body).status_code == 201
    asked = stage.http.get("/v1/projects/known/next-step", params={"for_owner": owner})
    assert asked.status_code == 200
    assert stage.reads.asked[-1]["for_owner"] == owner


@pytest.mark.parametrize("owner", ["", " ", "a\nb", "a\x00b", "x" * 201])
def test_whoever_cannot_hold_a_claim_is_nobody_to_ask_for(stage, owner):
    body = {"owner_id": owner, "ttl_seconds": 60}
    assert stage.http.post("/v1/projects/known/claims", json=body).status_code == 422
    assert stage.http.get("/v1/projects/known/next-step", params={"for_owner": owner}).status_code == 422


def test_a_body_is_needed_where_a_field_is(stage, paths):
    for path, operations in paths.items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {"content": {}})
            if "application/json" in body["content"]:
                url = re.sub(r"{\w+_id}", UUID, path.replace("{project}", "known").replace("{attempt_id}", "1"))
                answer = stage.http.request(method, url)
                assert body["required"] is (answer.status_code == 422), f"{method} {path}: {answer.text}"


def test_a_result_may_be_empty(stage, paths):
    assert paths[f"{PROJECT}/results"]["post"]["requestBody"]["required"] is False
    assert stage.http.post("/v1/projects/known/results").json()["size_bytes"] == 0


def test_a_schema_is_given_as_the_type_that_the_document_names(stage, paths):
    (said,) = paths["/schemas/ids/{schema_id}"]["get"]["responses"]["200"]["content"]
    assert stage.http.get("/schemas/ids/1").headers["Content-Type"] == said


def test_a_method_that_is_not_allowed_names_all_that_are(stage, paths):
    for path, operations in paths.items():
        url = re.sub(r"{\w+}", "x", path)
        refused = stage.http.request("OPTIONS", url)
        assert refused.status_code == 405
        said = set(refused.headers["Allow"].split(", "))
        assert said - {"HEAD"} == {method.upper() for method in operations}, path
