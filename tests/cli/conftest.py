"""The stage of the API tests: the command line is tested over real HTTP, without a broker and a database."""

import pytest

from continuity.cli import app
from tests.api.staging import served, stage

__all__ = ["served", "stage"]


@pytest.fixture
def deadline_seconds():
    """How long a verb tries: not long, where nobody answers."""
    return 0.3


@pytest.fixture
def run(stage, deadline_seconds, monkeypatch, capfd, tmp_path):
    """Calls the command line in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("CONTINUITY_HOME", str(tmp_path))
    monkeypatch.setenv("CONTINUITY_API_URL", str(stage.http.base_url))
    monkeypatch.setenv("CONTINUITY_KEY", stage.key)
    monkeypatch.setenv("CONTINUITY_PROJECT", "known")
    monkeypatch.setattr("continuity.cli.options.DEADLINE_SECONDS", deadline_seconds)

    def call(*words):
        code = app.main(words)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call
