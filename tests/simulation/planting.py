"""Bugs planted into a copy of the product, one at a time: what sees each of them, and after how many seeds.

A patch is a unified diff under two lines of words: the rule that it breaks, and, for what lies outside the simulated
world, the tests on the real database that have to see it instead.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).with_name("planted")
SEEDS_MAX = 1_000
SECONDS_MAX = 600


class Planted(NamedTuple):
    """A bug, the rule that it breaks, and the instrument that has to see it: tests, or None for the simulation."""

    name: str
    path: Path
    rule: str
    instrument: str | None


class Caught(NamedTuple):
    """By which checker or test, and at the how many-th seed (None for a test). `by` is None if nothing saw it."""

    planted: Planted
    by: str | None
    seeds: int | None


def all_planted() -> list[Planted]:
    """Every patch there is, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.patch"))]


def _read(path: Path) -> Planted:
    words, _, _ = path.read_text(encoding="utf-8").partition("--- a/")
    said = dict(line.split(": ", 1) for line in words.splitlines() if line)
    return Planted(path.stem, path, said["Rule"], said.get("Instrument"))


def catch(planted: Planted, seeds_max: int = SEEDS_MAX) -> Caught:
    """Plant it, and look until something sees it."""
    with copied() as folder:
        apply(planted, folder)
        if planted.instrument is not None:
            return Caught(planted, _by_tests(folder, planted.instrument), None)
        words = ("-m", "tests.simulation", "--seeds", f"0..{seeds_max - 1}", "--until-broken", "--json")
        ended = _python(folder, *words)
        if not ended.stdout:
            return Caught(planted, f"it does not start: {ended.stderr.splitlines()[-1]}", 0)
        found = json.loads(ended.stdout.splitlines()[-1])["first"]
        return Caught(planted, found and found["checker"], found and found["seed"] + 1)


def apply(planted: Planted, folder: Path, *, reverse: bool = False) -> None:
    """Raises CalledProcessError when the patch does not fit the product any more."""
    words = ["git", "apply", *(["--reverse"] if reverse else []), str(planted.path)]
    subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the sources and the tests, outside the repository."""
    with tempfile.TemporaryDirectory(prefix="continuity-planted-") as name:
        folder = Path(name)
        nothing_made = shutil.ignore_patterns("__pycache__", "*.egg-info", "schemas")
        for each in ("src", "tests"):
            shutil.copytree(ROOT / each, folder / each, ignore=nothing_made)
        shutil.copytree(ROOT / "schemas", folder / "src" / "continuity" / "schemas")
        shutil.copy(ROOT / "pyproject.toml", folder)
        yield folder


def _by_tests(folder: Path, instrument: str) -> str | None:
    ended = _python(folder, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", instrument)
    failed = [line for line in ended.stdout.splitlines() if line.startswith("FAILED")]
    return failed[0].split()[1] if failed else None


def _python(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}"}
    command = [sys.executable, *words]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            out, err = child.communicate(timeout=SECONDS_MAX)
        except BaseException:
            child.terminate()  # and not killed: it has processes of its own to end
            raise
    return subprocess.CompletedProcess(command, child.returncode, out, err)
