"""The application over in-memory neighbours, on a real port. One server for all tests, fresh neighbours for each."""

from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from continuity import keys
from continuity.api import Neighbours, create_app
from continuity.keys import Keyring
from tests.api.double import KeptAssignments, KeptBlobs, KeptPast, RecordingCommands, StoredReads
from tests.api.serving import serving


class Stage(NamedTuple):
    """An application, its neighbours, and a client with the key of tenant `local`."""

    app: FastAPI
    http: httpx.Client
    commands: RecordingCommands
    reads: StoredReads
    assignments: KeptAssignments
    blobs: KeptBlobs
    past: KeptPast
    key: str
    foreign_key: str


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("api")
    key = keys.ensure_local_key(home)
    foreign = keys.issue_key(home, tenant="other", operator_id="eve", operator_kind="agent")
    tenant = keys.LOCAL_TENANT
    neighbours = Neighbours(RecordingCommands(), StoredReads(tenant), KeptAssignments(), KeptBlobs(), KeptPast(tenant))
    app = create_app(neighbours, Keyring(home))
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        yield Stage(app, http, *neighbours, key, foreign)  # type: ignore[arg-type]  # the doubles themselves


@pytest.fixture
def stage(served: Stage) -> Stage:
    served.commands.reset()
    served.reads.reset()
    served.assignments.reset()
    served.blobs.reset()
    served.past.reset()
    served.http.headers["Authorization"] = f"Bearer {served.key}"
    return served
