"""What is installed: the locks, the list of packages, and the developers' script."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.lock", "requirements-dev.lock")


def locked(name: str) -> dict[str, str]:
    """Version by package of a lock file."""
    text = (ROOT / name).read_text(encoding="ascii")
    return {found[1]: found[2] for found in re.finditer(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE)}


def wanted(*extras: str) -> list[Requirement]:
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_place(name):
    text = (ROOT / name).read_text(encoding="ascii")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(name))
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert "--find-links" not in text
    assert "/" not in re.sub(r"\\\n", "", text).replace("sha256:", "")


@pytest.mark.parametrize(
    ("name", "extras"), [("requirements.lock", ()), ("requirements-dev.lock", ("embedded", "dev"))]
)
def test_a_lock_has_what_the_project_asks_for(name, extras):
    versions = locked(name)
    for requirement in wanted(*extras):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not locked: ./dev lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: ./dev lock"


def test_users_and_developers_have_the_same_versions():
    users, developers = locked(LOCKS[0]), locked(LOCKS[1])
    assert users.items() <= developers.items()


def test_every_package_is_listed_and_every_listed_one_exists():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    found = {".".join(each.parent.relative_to(ROOT / "src").parts) for each in (ROOT / "src").rglob("__init__.py")}
    assert listed == found | {"continuity.schemas"}


def test_every_rule_that_is_off_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    off = re.search(r"^ignore = \[\n(.*?)^]", text, re.MULTILINE | re.DOTALL)
    assert off is not None
    for line in off[1].splitlines():
        assert re.search(r'"[A-Z]+\d+",\s+# \w+', line), line


def dev(
    folder: Path, *arguments: str, path: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "dev", *arguments],
        env={"PATH": str(path), "HOME": str(folder), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def tools(tmp_path):
    """A PATH with what POSIX promises and `dev` uses, and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "cksum", "dirname", "grep", "rm"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def clone(tmp_path):
    """A fresh clone, as far as `dev` looks at it."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("dev", "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, folder)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_dev_says_what_it_can_do(clone, tools):
    asked = dev(clone, path=tools)
    assert asked.returncode == 0
    for verb in ("run", "test", "check", "bench", "chaos", "fuzz", "lock"):
        assert f"\n  {verb} " in asked.stdout
    unknown = dev(clone, "dance", path=tools)
    assert unknown.returncode == 2
    assert "usage" in unknown.stderr


def test_dev_without_python_says_so(clone, tools):
    asked = dev(clone, "test", path=tools)
    assert asked.returncode == 1
    assert "no python3" in asked.stderr
    assert "3.11" in asked.stderr


def test_dev_with_an_old_python_says_which(clone, tools):
    program(tools, "python3", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    asked = dev(clone, "test", path=tools)
    assert asked.returncode == 1
    assert "Python 3.9.2 is too old" in asked.stderr


def test_dev_with_a_python_without_venv_says_what_to_install(clone, tools):
    program(tools, "python3.12", 'case "$2" in *ensurepip*) exit 1;; esac')
    asked = dev(clone, "test", path=tools)
    assert asked.returncode == 1
    assert "venv module" in asked.stderr
    assert "python3-venv" in asked.stderr


def test_dev_installs_once_and_again_when_what_is_pinned_changed(clone, tools):
    # A Python that makes a .venv of itself, and notes what it is asked to do.
    program(
        tools,
        "python3",
        'echo "$@" >> "$HOME/asked"\n'
        'case "$*" in *"-m venv"*) mkdir=1; for last; do :; done; /bin/mkdir -p "$last/bin"; '
        '/bin/cp "$0" "$last/bin/python";; esac',
    )

    def installs() -> int:
        asked: str = (clone / "asked").read_text(encoding="utf-8")
        return asked.count("--require-hashes --only-binary :all: -r requirements-dev.lock")

    for _ in range(2):
        assert dev(clone, "test", "-k", "one", path=tools).returncode == 0
    assert installs() == 1
    assert "-m pytest -n 2 --dist loadfile -k one" in (clone / "asked").read_text(encoding="utf-8")
    with (clone / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n")
    assert dev(clone, "test", path=tools).returncode == 0
    assert installs() == 2


def test_dev_without_a_network_says_that_the_first_run_needs_one(clone, tools):
    program(
        tools,
        "python3",
        'case "$*" in *"-m venv"*) for last; do :; done; /bin/mkdir -p "$last/bin"; /bin/cp "$0" "$last/bin/python";;\n'
        '*"-m pip"*) echo "no route to host" >&2; exit 1;; esac',
    )
    asked = dev(clone, "test", path=tools)
    assert asked.returncode == 1
    assert "no route to host" in asked.stderr
    assert "first run needs a network" in asked.stderr
    assert not (clone / ".venv" / "installed").exists()


def test_the_script_of_ci_runs_the_checks_and_the_tests():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-2:] == ["./dev check", "./dev test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert os.access(ROOT / "dev", os.X_OK)
