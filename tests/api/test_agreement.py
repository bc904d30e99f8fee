"""A command is declared once: routes, SDK methods, CLI verbs and the OpenAPI document agree with that declaration."""

import inspect
import re
from dataclasses import MISSING, fields
from typing import Any

import pytest
import typer.main

from continuity import AsyncContinuity, Continuity
from continuity.api import rules, surface
from continuity.cli.app import build
from continuity.cli.commands import VERBS
from continuity.client import paths
from continuity.client.async_grants import AsyncGrant
from continuity.client.async_steps import AsyncStep
from continuity.client.grants import Grant
from continuity.client.steps import Step
from continuity.core.commands import COMMANDS
from continuity.core.decide import RULES
from continuity.core.refusals import REFUSALS

PUBLISHED = {
    "create_goal": ["text", "priority"],
    "add_task": ["goal_id", "title", "acceptance_criteria"],
    "start_task": ["task_id"],
    "update_checkpoint": ["task_id", "where_left_off", "next_step", "context_refs"],
    "block_task": ["task_id", "blocker"],
    "complete_task": ["task_id", "evidence"],
    "get_next_step": ["project_id"],
}
CLI_ONLY = {"project", "command_id", "expected_seq", "fencing_token", "wait", "json"}
CLI_MORE = {
    "block_task": {"clears_when"},
    "claim_task": {"anywhere"},
    "complete_step": {"result_file"},
    "fork_project": {"name"},
}
"""What a verb takes besides the fields of its command."""

EVERY_WRITE = (*surface.WRITES, *surface.CLAIM_WRITES)


def names(command_type):
    return [field.name for field in fields(COMMANDS[command_type])]


def test_each_command_has_exactly_one_route_one_path_in_the_sdk_and_one_verb():
    assert [write.command_type for write in surface.WRITES] == list(COMMANDS)
    assert list(paths.PATHS) == list(COMMANDS)
    assert list(VERBS) == list(COMMANDS)


@pytest.mark.parametrize("write", EVERY_WRITE, ids=lambda write: write.operation)
def test_the_sdk_sends_a_command_where_the_api_takes_it(write):
    table = paths.CLAIM_PATHS if write in surface.CLAIM_WRITES else paths.PATHS
    method, below = table[write.command_type]
    assert (method, surface.PROJECT + below) == (write.method, write.path)
    assert set(surface.path_names(write.path)) - {"project"} <= set(names(write.command_type))


@pytest.mark.parametrize("client", [Continuity, AsyncContinuity])
@pytest.mark.parametrize("command_type", COMMANDS)
def test_an_sdk_method_takes_the_fields_of_its_command(client, command_type):
    parameters = inspect.signature(getattr(client, command_type)).parameters
    assert [name for name in parameters if name not in {"self", "options"}] == names(command_type)
    optional = {name for name, each in parameters.items() if each.default is not inspect.Parameter.empty}
    declared = {field.name for field in fields(COMMANDS[command_type]) if not _is_required(field)}
    assert optional == declared


@pytest.mark.parametrize("client", [Continuity, AsyncContinuity])
def test_the_published_signatures_stand(client):
    for method, wanted in PUBLISHED.items():
        parameters = inspect.signature(getattr(client, method)).parameters.values()
        positional = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        assert positional[1:] == wanted, method


@pytest.mark.parametrize(
    ("one", "other"), [(Continuity, AsyncContinuity), (Grant, AsyncGrant), (Step, AsyncStep)], ids=lambda c: c.__name__
)
def test_both_clients_have_the_same_methods_with_the_same_parameters(one, other):
    def shape(client):
        return {
            name: [str(each.replace(annotation=each.empty)) for each in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")
        }

    assert shape(one) == shape(other)


@pytest.mark.parametrize("command_type", COMMANDS)
def test_a_verb_takes_the_fields_of_its_command(command_type):
    command: Any = typer.main.get_command(build())
    for word in VERBS[command_type]:
        command = command.commands[word]
    taken = {each.name for each in command.params} - CLI_ONLY
    assert taken == set(names(command_type)) | CLI_MORE.get(command_type, set())


def test_every_route_is_in_the_document_and_nothing_else(stage):
    routed = {
        (route.path, method) for route in stage.app.routes for method in (route.methods or ()) if method != "HEAD"
    }
    described = {
        (path, method.upper()) for path, operations in stage.app.openapi()["paths"].items() for method in operations
    }
    assert described == routed


def test_the_document_says_which_fields_a_body_has(stage):
    for write in EVERY_WRITE:
        operation = stage.app.openapi()["paths"][write.path][write.method.lower()]
        content = operation.get("requestBody", {"content": {}})["content"]
        in_body = set(content["application/json"]["schema"]["properties"]) if content else set()
        in_path, in_query = (
            {each["name"] for each in operation["parameters"] if each["in"] == place} for place in ("path", "query")
        )
        assert in_path == set(surface.path_names(write.path))
        taken = in_body | in_path | in_query | set(write.absent)
        assert taken - {"project", "wait"} == set(names(write.command_type))


def test_every_reference_in_the_document_leads_somewhere(stage):
    document = stage.http.get("/openapi.json").json()
    wanted = set(re.findall(r'"#/components/schemas/(\w+)"', stage.http.get("/openapi.json").text))
    assert document["openapi"] == "3.1.0"
    assert wanted <= set(document["components"]["schemas"])


def test_the_page_for_people_shows_every_call_and_loads_nothing(stage):
    page = stage.http.get("/docs").text
    for write in EVERY_WRITE:
        assert f'id="{write.operation}"' in page
    targets = re.findall(r'href=["\']([^"\']+)', page)
    assert {target for target in targets if not target.startswith("#")} == {"/openapi.json"}
    assert all(f'id="{target[1:]}"' in page for target in targets if target.startswith("#"))
    assert "<script" not in page
    assert "src=" not in page


@pytest.mark.parametrize("command_type", COMMANDS)
def test_the_document_names_the_rules_that_decide(command_type):
    found = _codes(RULES[command_type], set())
    declared = set(rules.RULES[command_type]) | set(rules.CONDITIONS)
    assert found <= declared
    assert set(rules.RULES[command_type]) <= found


def test_every_code_in_the_document_is_a_refusal():
    used = {code for command_type in COMMANDS for code in rules.codes_of(command_type)}
    used |= {code for read in surface.READS for code in read.refusals}
    assert used <= set(REFUSALS)


def _codes(function, seen):
    """The codes that a rule, or a function of the core that it calls, refuses with."""
    source = inspect.getsource(function)
    codes = set(re.findall(r'Refusal\(\s*"(\w+)"', source))
    for name in set(re.findall(r"\b(_\w+)\b", source)) - seen:
        called = function.__globals__.get(name)
        if inspect.isfunction(called):
            codes |= _codes(called, seen | {name})
    return codes


def _is_required(field):
    return field.default is MISSING
