"""Settings: where a value comes from, and what cannot be one."""

import json
from pathlib import Path

import pytest

from continuity.config import Settings, render_endpoints, variable
from continuity.errors import ConfigError


def load(home: Path, **variables: str) -> Settings:
    return Settings.load({"CONTINUITY_HOME": str(home), **variables})


def test_without_anything_set_the_defaults_hold(tmp_path):
    settings = Settings.load({"HOME": str(tmp_path)})
    assert settings.data_dir == tmp_path / ".continuity"
    assert settings.cache_dir == tmp_path / ".cache" / "continuity"
    assert settings.blobs == str(tmp_path / ".continuity" / "blobs")
    assert settings.api_url == f"http://127.0.0.1:{settings.api_port}"
    assert settings.explicit == frozenset()


def test_the_environment_comes_before_what_up_wrote_and_that_before_the_default(tmp_path):
    written = Settings(data_dir=tmp_path, kafka_bootstrap="127.0.0.1:1234", partitions=3, api_port=7777, api_url="")
    (tmp_path / "endpoints.json").write_text(render_endpoints(written), encoding="utf-8")
    found = load(tmp_path, CONTINUITY_PARTITIONS="5")
    assert found.kafka_bootstrap == "127.0.0.1:1234"
    assert found.partitions == 5
    assert found.api_url == "http://127.0.0.1:7777"
    assert found.explicit == {"data_dir", "partitions"}
    assert found.cache_workflows_max == Settings().cache_workflows_max


def test_a_port_from_the_environment_moves_the_address_with_it(tmp_path):
    (tmp_path / "endpoints.json").write_text(render_endpoints(Settings(data_dir=tmp_path)), encoding="utf-8")
    assert load(tmp_path, CONTINUITY_API_PORT="9999").api_url == "http://127.0.0.1:9999"
    assert (
        load(tmp_path, CONTINUITY_API_PORT="9", CONTINUITY_API_URL="https://c.example").api_url == "https://c.example"
    )


def test_the_environment_of_a_process_gives_its_child_the_same_settings(tmp_path):
    settings = Settings(
        data_dir=tmp_path / "with space", partitions=7, flush_every_message=False, postgres_dsn="host=a dbname='b c'"
    )
    assert Settings.load(settings.environment()) == settings


def test_topics_and_groups_bear_the_prefix():
    settings = Settings(topic_prefix="blue")
    assert settings.commands_topic == "blue.commands"
    assert settings.topic("leases") == settings.leases_topic
    assert {settings.replies_topic, settings.rejections_topic} == {"blue.replies", "blue.rejections"}
    assert (settings.sequencer_group, settings.projector_group) == ("blue.sequencer", "blue.projector")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partitions", "0"),
        ("partitions", "many"),
        ("partitions", "1001"),
        ("api_port", "65536"),
        ("api_port", "-1"),
        ("api_url", "127.0.0.1:8420"),
        ("topic_prefix", "Upper Case"),
        ("flush_every_message", "perhaps"),
        ("log_level", "loud"),
        ("replication_factor", "0"),
        ("cache_workflows_max", "0"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_variable_and_a_fix(tmp_path, name, value):
    with pytest.raises(ConfigError, match=variable(name)) as refused:
        load(tmp_path, **{variable(name): value})
    assert value in refused.value.detail
    assert refused.value.fix


def test_an_empty_variable_is_an_unset_one(tmp_path):
    assert load(tmp_path, CONTINUITY_PARTITIONS=" ").partitions == Settings().partitions


@pytest.mark.parametrize("text", ["", "{", "[]", '{"settings": 3}', "{}"])
def test_a_damaged_endpoints_file_is_named(tmp_path, text):
    (tmp_path / "endpoints.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="is damaged") as refused:
        load(tmp_path)
    assert "continuity up" in refused.value.fix


def test_unknown_and_misshapen_values_of_another_version_are_passed_over(tmp_path):
    values = {"settings": {"partitions": "four", "new_in_the_next_release": 1, "api_port": 81}}
    (tmp_path / "endpoints.json").write_text(json.dumps(values), encoding="utf-8")
    settings = load(tmp_path)
    assert (settings.partitions, settings.api_port) == (2, 81)


def test_what_up_writes_down_holds_no_password(tmp_path):
    settings = Settings(data_dir=tmp_path, postgres_dsn="host=127.0.0.1 passfile=/somewhere")
    assert "explicit" not in render_endpoints(settings)
    assert Settings.load({"CONTINUITY_HOME": str(tmp_path)}).postgres_dsn != settings.postgres_dsn
