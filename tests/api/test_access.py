"""Who is let in: without a key nobody, with a key only to the projects of its tenant."""

import stat

import pytest

from continuity import keys
from continuity.api import surface
from continuity.errors import ConfigError
from continuity.keys import Keyring

SOME_ID = "00000000-0000-4000-8000-000000000003"
ROUTES = [
    *((write.method, write.path) for write in surface.WRITES),
    *(("GET", read.path) for read in surface.READS),
    ("POST", surface.BATCH_PATH),
    ("GET", "/v1"),
    ("GET", "/v1/nothing"),
    ("GET", "/v1/projects/"),
    ("DELETE", "/v1/projects"),
]
WRONG = [None, "", "Bearer", "Bearer wrong", "Basic wrong", "Bearer ck_" + "A" * 43, "Bearer \xe9"]


OTHER_NAMES = {"step_id": "a.b", "attempt_id": 1, "result_ref": "ab" * 32}


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(route) for route in ROUTES])
def test_every_route_below_v1_wants_a_key(stage, method, path):
    path = path.format(project="known", goal_id=SOME_ID, task_id=SOME_ID, command_id=SOME_ID, **OTHER_NAMES)
    stage.http.headers.pop("Authorization")
    for authorization in WRONG:
        headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
        response = stage.http.request(method, path, content=b"{", headers=headers)
        assert response.status_code == 401, authorization
        assert response.json()["code"] == "unauthorized"
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert stage.commands.sent == []
    assert stage.reads.asked == []


@pytest.mark.parametrize(
    "path", [surface.HEALTH_PATH, surface.READY_PATH, surface.METRICS_PATH, surface.OPENAPI_PATH, surface.DOCS_PATH]
)
def test_service_routes_want_none(stage, path):
    stage.http.headers.pop("Authorization")
    assert stage.http.get(path).status_code == 200


@pytest.mark.parametrize("below", ["next-step", "next-step?for_owner=me", "state", "events", "late-results"])
def test_another_tenants_project_looks_like_one_that_does_not_exist(stage, below):
    stage.http.headers["Authorization"] = f"Bearer {stage.foreign_key}"
    foreign = stage.http.get(f"/v1/projects/known/{below}")
    absent = stage.http.get(f"/v1/projects/other/{below}")
    assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_project")
    assert foreign.text.replace("known'", "other'") == absent.text
    assert stage.http.get("/v1/projects").json() == {"projects": [], "has_more": False}


def test_tenant_and_operator_come_from_the_key(stage):
    stage.http.post("/v1/projects/known/goals", json={"text": "x"}, headers={"Session-Id": "s-1"})
    stage.http.headers["Authorization"] = f"Bearer {stage.foreign_key}"
    stage.http.post("/v1/projects/known/goals", json={"text": "x"})
    (mine, _), (theirs, _) = stage.commands.sent
    assert (mine.tenant, mine.operator_id, mine.operator_kind, mine.session_id) == ("local", "local", "human", "s-1")
    assert (theirs.tenant, theirs.operator_id, theirs.operator_kind, theirs.session_id) == (
        "other",
        "eve",
        "agent",
        None,
    )


def test_the_local_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    home = tmp_path / "home"
    first = keys.ensure_local_key(home)
    assert keys.ensure_local_key(home) == first == keys.local_key(home)
    for name in (keys.LOCAL_KEY_FILE, keys.KEYS_FILE):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert first not in (home / keys.KEYS_FILE).read_text()
    assert [path.name for path in home.iterdir() if path.name.startswith(".keys.json")] == []


def test_a_local_key_that_others_can_read_is_refused_with_the_fix(tmp_path):
    keys.ensure_local_key(tmp_path)
    (tmp_path / keys.LOCAL_KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="Remove it"):
        keys.ensure_local_key(tmp_path)


def test_a_lost_row_of_the_local_key_comes_back(tmp_path):
    key = keys.ensure_local_key(tmp_path)
    (tmp_path / keys.KEYS_FILE).unlink()
    keys.ensure_local_key(tmp_path)
    assert Keyring(tmp_path).caller(key) is not None


def test_a_key_works_as_soon_as_it_is_issued_and_ends_when_it_is_revoked(tmp_path, eventually):
    keyring = Keyring(tmp_path)
    assert keyring.caller("ck_nobody") is None
    key = keys.issue_key(tmp_path, tenant="acme", operator_id="agent-7", operator_kind="agent")
    caller = keyring.caller(key)
    assert caller is not None
    assert caller[:3] == ("acme", "agent-7", "agent")
    assert keys.revoke_key(tmp_path, caller.key_id)
    eventually(lambda: keyring.caller(key) is None, 2 * keys.RELOAD_SECONDS, "the key is refused")
    assert not keys.revoke_key(tmp_path, caller.key_id)


@pytest.mark.parametrize(
    ("tenant", "operator_id", "operator_kind"),
    [
        ("Acme", "x", "agent"),
        ("acme", "", "agent"),
        ("acme", "a\nb", "agent"),
        ("acme", "x" * 201, "agent"),
        ("acme", "x", "robot"),
    ],
)
def test_a_key_for_nobody_is_not_issued(tmp_path, tenant, operator_id, operator_kind):
    with pytest.raises(ConfigError):
        keys.issue_key(tmp_path, tenant=tenant, operator_id=operator_id, operator_kind=operator_kind)
    assert keys.list_keys(tmp_path) == []


def test_a_damaged_keys_file_lets_nobody_in(tmp_path):
    key = keys.ensure_local_key(tmp_path)
    (tmp_path / keys.KEYS_FILE).write_text('{"keys": [{"sha256": 5}]}')
    with pytest.raises(ConfigError, match="damaged"):
        Keyring(tmp_path).caller(key)
    with pytest.raises(ConfigError, match="damaged"):
        keys.ensure_local_key(tmp_path)
