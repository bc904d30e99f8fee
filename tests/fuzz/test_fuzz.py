"""What the instrument does with its words, with real ids, with what it counts, and how its page looks."""

import re

import pytest
from rich.console import Console

from fuzz import report
from fuzz.__main__ import understood
from fuzz.places import TOKEN, Facts
from fuzz.report import Result
from fuzz.runs import LOCK, Run
from fuzz.seeding import CURSORS, FORMS
from fuzz.tally import Failure, Tally

ID, OTHER = "3f0f7d3e-6f0e-5d59-9d3c-8f6a1f0f7f10", "00000000-0000-4000-8000-000000000001"
PLACE = {"project": "atlas", "task_id": ID, "attempt_id": 3, "token": 7, "seq_max": 10, "seen_seq": 10}
FACTS = Facts([PLACE], [], FORMS, CURSORS)


def put(values, place=PLACE):
    FACTS.put(place, values)
    return values


def counted():
    found = Tally()
    found.answers.update({("GET /a", 200): 3, ("GET /a", 404): 1, ("POST /b", 201): 2})
    return found


def result(found, wanted=6):
    told = Result(wanted, 1, "a machine")
    told.add(Run(found, 1 if found.failures else 0, ""))
    return told


def test_it_has_its_defaults_and_refuses_what_is_no_number(capsys):
    asked = understood([])
    assert (asked.requests, asked.seed, asked.json, asked.report) == (10_000, 1, False, None)
    assert understood(["--requests", "500", "--seed", "7"]).requests == 500
    for word in ("0", "-1", "many"):
        with pytest.raises(SystemExit):
            understood(["--requests", word])
    assert "--requests" in capsys.readouterr().err


def test_what_fits_is_replaced_by_what_exists():
    assert put({"project": "p", "task_id": OTHER, "attempt_id": "1"}) == {
        "project": "atlas", "task_id": ID, "attempt_id": 3,
    }  # fmt: skip
    assert put({"depends_on": [OTHER, OTHER[:-1] + "2"]}) == {"depends_on": [ID]}
    assert put({"goal_id": OTHER, "text": "x"}) == {"goal_id": OTHER, "text": "x"}, "of which the place knows nothing"


@pytest.mark.parametrize(
    "wrong", [{"project": "P"}, {"task_id": "x"}, {"task_id": None}, {"attempt_id": "-1"}, {"attempt_id": True}]
)
def test_what_was_drawn_to_be_wrong_stays_wrong(wrong):
    assert put(dict(wrong)) == wrong


def test_no_question_is_asked_about_an_event_that_is_yet_to_come():
    assert 1 <= put({"at_seq": 2**40})["at_seq"] <= 10
    for wrong in (0, 2**53, "x"):
        assert put({"at_seq": wrong}) == {"at_seq": wrong}, "it was drawn to be wrong"
    assert put({"min_seq": "4000"})["min_seq"] in {str(number) for number in range(11)}
    assert put({"min_seq": 2**53}) == {"min_seq": 2**53}
    assert put({"min_seq": 4000, "at_seq": 4000}, None) == {"min_seq": 0, "at_seq": 4000}


def test_a_token_is_the_places_own():
    headers = {TOKEN: "12"}
    FACTS.put_token(PLACE, headers)
    assert headers == {TOKEN: "7"}
    for place, sent in ((None, "12"), ({"project": "atlas"}, "12"), (PLACE, "none")):
        headers = {TOKEN: sent}
        FACTS.put_token(place, headers)
        assert headers == {TOKEN: sent}


def test_facts_and_counts_come_back_from_their_files(tmp_path):
    FACTS.write(tmp_path / "facts")
    assert Facts.read(tmp_path / "facts") == FACTS
    found = counted()
    found.failures[Failure("GET /a", "content_type_conformance", "Undocumented")] = 2
    found.unanswered["POST /b"] = 1
    found.write(tmp_path / "tally")
    assert Tally.read(tmp_path / "tally") == found


def test_counts_of_all_runs_add_up():
    found = counted()
    found.add(counted())
    assert found.requests == 12
    assert found.statuses == {"200": 6, "201": 4, "404": 2}
    assert found.of_operation("GET /a") == {200: 6, 404: 2}


def test_nothing_found_in_enough_requests_is_good():
    assert result(counted()).is_good
    assert not result(counted(), wanted=7).is_good
    assert {"requests": 6, "server_errors": 0, "violations": 0}.items() <= result(counted()).to_json().items()


@pytest.mark.parametrize("check", ["not_a_server_error", "status_code_conformance"])
def test_one_finding_of_any_kind_is_enough_to_fail(check):
    found = counted()
    found.answers["GET /a", 503] = 1
    found.failures[Failure("GET /a", check, "Wrong")] = 5
    told = result(found)
    assert not told.is_good
    assert told.to_json()["server_errors"] == 1
    assert told.to_json()["violations"] == (0 if check == "not_a_server_error" else 1)


def test_a_request_without_an_answer_is_a_violation():
    found = counted()
    found.unanswered["GET /a"] = 4
    assert result(found).to_json()["violations"] == 1


def test_a_run_that_ended_for_a_reason_of_its_own_proves_nothing():
    told = Result(6, 1, "a machine")
    told.add(Run(counted(), 1, "Schema Error"))
    assert not told.is_good
    assert told.to_json()["violations"] == 1


def test_the_page_has_the_command_the_machine_and_each_operation(tmp_path):
    page = tmp_path / "fuzz.md"
    report.write(result(counted()), page)
    text = page.read_text(encoding="utf-8")
    for wanted in ("`./dev fuzz --requests 6 --seed 1`", "a machine", "| `GET /a` | 4 | 200: 3, 404: 1 |", "| 201 Cre"):
        assert wanted in text
    assert "Server errors: 0, violations: 0." in text
    report.show(result(counted()), Console(quiet=True))


def test_what_is_installed_is_pinned_by_hash_and_names_no_host():
    text = LOCK.read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9._-]+==[^\n]+\\\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z]", text, re.MULTILINE)) > 0
    assert "://" not in text
