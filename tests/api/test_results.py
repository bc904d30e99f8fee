"""Results of steps: kept by content, verified when read, and of one project alone."""

from hashlib import sha256

import pytest

from continuity.api import results

PATH = "/v1/projects/known/results"


def store(stage, content=b"[1,2]", media="application/json"):
    return stage.http.post(PATH, content=content, headers={"Content-Type": media})


def test_what_is_stored_comes_back_with_its_type(stage):
    kept = store(stage)
    assert kept.status_code == 201
    assert kept.json()["result_checksum"] == sha256(b"[1,2]").hexdigest()
    given = stage.http.get(f"{PATH}/{kept.json()['result_ref']}")
    assert (given.status_code, given.content, given.headers["content-type"]) == (200, b"[1,2]", "application/json")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"continuity-result 1\n\n\n", bytes(range(256)) * 400])
def test_any_bytes_go(stage, content):
    ref = store(stage, content, "application/octet-stream").json()["result_ref"]
    assert stage.http.get(f"{PATH}/{ref}").content == content


def test_the_same_content_is_kept_once_and_its_type_counts(stage):
    first, again, other = store(stage), store(stage), store(stage, media="text/plain")
    assert first.json() == again.json()
    assert first.json()["result_ref"] != other.json()["result_ref"]
    assert len(stage.blobs.kept) == 2


def test_who_knows_the_name_of_anothers_result_is_told_that_there_is_none(stage, monkeypatch):
    ref = store(stage).json()["result_ref"]
    monkeypatch.setattr(stage.reads, "tenant", "other")
    stage.http.headers["Authorization"] = f"Bearer {stage.foreign_key}"
    foreign, absent = stage.http.get(f"{PATH}/{ref}"), stage.http.get(f"{PATH}/{'ab' * 32}")
    assert foreign.status_code == absent.status_code == 404
    assert foreign.json()["detail"].replace(ref, "") == absent.json()["detail"].replace("ab" * 32, "")
    assert store(stage).json()["result_ref"] != ref


def test_another_projects_result_is_none_of_this_one(stage):
    ref = store(stage).json()["result_ref"]
    assert stage.http.get(f"/v1/projects/another/results/{ref}").status_code == 404


def test_another_blob_is_no_result(stage):
    ref = stage.blobs.put(b'{"goals":{}}')
    assert stage.http.get(f"{PATH}/{ref}").status_code == 404


def test_a_damaged_result_is_named_and_not_served(stage):
    ref = store(stage).json()["result_ref"]
    stage.blobs.kept[ref] = stage.blobs.kept[ref][:-1] + b"}"
    damaged = stage.http.get(f"{PATH}/{ref}")
    assert (damaged.status_code, damaged.json()["code"]) == (500, "integrity")
    assert ref in damaged.json()["detail"]


@pytest.mark.parametrize("ref", ["x", "AB" * 32, "ab" * 31, "..%2f..%2fetc"])
def test_a_name_that_is_none_leads_nowhere(stage, ref):
    assert stage.http.get(f"{PATH}/{ref}").status_code == 404


def test_what_is_too_large_or_badly_typed_or_without_a_project_is_refused(stage, monkeypatch):
    monkeypatch.setattr(results, "RESULT_BYTES_MAX", 1_000)
    assert store(stage, b"x" * 1_000).status_code == 201
    large = store(stage, b"x" * 1_001)
    assert (large.status_code, large.json()["code"]) == (413, "command_too_large")
    assert "reference" in large.json()["fix"]
    assert store(stage, media="x" * 201).status_code == 422
    assert stage.http.post("/v1/projects/nowhere/results", content=b"x").json()["code"] == "unknown_project"


def test_more_results_at_once_than_there_is_room_for_are_turned_away(stage, monkeypatch):
    monkeypatch.setattr(results, "AT_ONCE_MAX", 0)
    assert store(stage).json()["code"] == "overloaded"
    assert stage.http.get(f"{PATH}/{'ab' * 32}").status_code == 503
