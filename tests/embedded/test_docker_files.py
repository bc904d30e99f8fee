"""The Docker files, as far as they can be checked without an engine: what they name exists, under the same names."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from continuity import topics
from continuity.config import Settings
from continuity.embedded import SERVICES, broker, database, jars

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
KNOWN = set(Settings().environment())


def environment(service: str) -> dict[str, str]:
    """What a service gets when nothing is set outside."""
    given = COMPOSE["services"][service].get("environment", {})
    return {name: re.sub(r"\$\{\w+:-([^}]*)}", r"\1", value) for name, value in given.items()}


def test_every_setting_in_it_is_a_setting_and_every_value_loads():
    for name in COMPOSE["services"]:
        ours = {key: value for key, value in environment(name).items() if key.startswith("CONTINUITY_")}
        assert set(ours) <= KNOWN, name
        assert Settings.load(ours).explicit or not ours


def test_its_services_are_those_of_the_embedded_stack():
    commands = {name: each.get("command") for name, each in COMPOSE["services"].items()}
    for service in SERVICES:
        assert commands[service.name] == ["python", *service.command[1:]]
        settings = Settings.load(environment(service.name))
        assert getattr(settings, service.port_setting) > 0, f"{service.name} can be asked whether it is ready"
        probe = COMPOSE["services"][service.name]["healthcheck"]["test"][-1]
        assert f":{getattr(settings, service.port_setting)}{service.ready_path}'" in probe
    assert commands["topics"] == ["python", "-m", topics.__name__]


def test_the_services_find_the_broker_and_the_database():
    settings = Settings.load(environment("sequencer"))
    kafka, postgres = environment("kafka"), environment("postgres")
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{settings.kafka_bootstrap}"
    for word in (
        "host=postgres",
        f"user={postgres['POSTGRES_USER']}",
        f"dbname={postgres['POSTGRES_DB']}",
        f"password={postgres['POSTGRES_PASSWORD']}",
    ):
        assert word in settings.postgres_dsn.split()


def test_the_broker_has_the_settings_of_the_embedded_one():
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{jars.KAFKA_VERSION}"
    embedded = broker.configuration(Settings(), Path("/var/lib/kafka/data"), 9093)
    embedded = {"KAFKA_" + name.replace(".", "_").upper(): value for name, value in embedded.items()}
    differs = {"KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"}
    for name, value in environment("kafka").items():
        if name not in differs:
            assert embedded[name] == value, name


def test_the_database_sorts_as_the_embedded_one():
    arguments = environment("postgres")["POSTGRES_INITDB_ARGS"].split()
    assert set(arguments) <= set(database.INITDB_OPTIONS)
    assert {"--encoding=UTF8", "--locale=C", "--locale-provider=builtin"} <= set(arguments)


def test_only_the_api_is_published_and_on_this_machine_only():
    published = {name: each["ports"] for name, each in COMPOSE["services"].items() if "ports" in each}
    assert published == {"api": ["127.0.0.1:8420:8420"]}
    assert Settings.load(environment("api")).api_url == "http://127.0.0.1:8420"


def test_the_image_is_built_from_files_that_exist_and_a_python_that_fits():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert {"requirements.lock", "requirements-dev.lock", "pyproject.toml", "schemas", "src"} <= names
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for name in names:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in allowed, name
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    for version in re.findall(r"^FROM python:(\S+)-slim", DOCKERFILE, re.MULTILINE):
        assert f"Programming Language :: Python :: {version}" in wanted
