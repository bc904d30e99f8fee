"""Runs of `schemathesis` against the API, one after another with seeds that follow, until enough was asked.

Each is a process of its own in the scratch folder, bounded in time, and ends with this one however that ends.
"""

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import TimeoutExpired
from typing import NamedTuple

from rich.console import Console

from benchmarks import stack, venvs
from benchmarks.peers.programs import ROOT, Failed, free_ports, started
from continuity.config import Settings
from continuity.keys import ensure_local_key
from fuzz import seeding
from fuzz.tally import Tally

LOCK = Path(__file__).parent / "requirements" / "schemathesis.lock"
CONFIGURATION = Path(__file__).parent / "schemathesis.toml"
HOOKS = "fuzz.hooks"
PARTITIONS = Settings.partitions
OPERATIONS = 44
"""About as many as the API has: what is drawn is drawn for each."""
ENUMERATED = 3_500
"""About as many requests as a run sends besides: of the phase that enumerates, and of sequences."""
RUNS_MAX = 10
RUN_SECONDS_MAX = 2_400
EXAMPLES_MIN = 5
FOUND_SOMETHING = 1
WORDS = 4_000


class Run(NamedTuple):
    """What one run saw, and what it printed."""

    tally: Tally
    exit_code: int
    printed: str

    @property
    def failed(self) -> str | None:
        """Why it proves nothing, where it does not: it ended for another reason than what it had found."""
        if self.exit_code == 0 or (self.exit_code == FOUND_SOMETHING and self.tally.failures):
            return None
        return f"schemathesis ended with {self.exit_code} for a reason of its own, which stands above"


def installed(settings: Settings, console: Console) -> Path:
    """The program, in an environment of its own that is made once. Raises Failed."""
    folder = settings.cache_dir / "fuzz" / LOCK.stem
    venvs.ensure(LOCK, folder, console)
    return venvs.python(folder).with_name("st")


def until_enough(requests: int, seed: int, program: Path, told: Callable[[Run], None], console: Console) -> None:
    """Ask so many questions at least, and tell of each run. Raises Failed when one does not end, or all are too few."""
    asked = 0
    with stack.running(PARTITIONS) as settings:
        key = ensure_local_key(settings.data_dir)
        # A port that nobody else would take for theirs: what is asked here must not reach another stack's API.
        (port,) = free_ports(1)
        with (
            stack.corner(settings.with_values(api_port=port, api_url="")) as own,
            stack.services(own, "sequencer", "projector", "api"),
        ):
            for number in range(RUNS_MAX):
                seeding.seeded(own.api_url, key, f"fuzz-{number}").write(own.data_dir / "facts.json")
                run = _run(own, key, program, seed + number, _examples(requests - asked))
                told(run)
                asked += run.tally.requests
                console.print(f"  seed {seed + number}: {asked:,} of {requests:,} requests")
                if run.tally.server_errors:
                    log = (own.data_dir / "api.log").read_text(encoding="utf-8", errors="replace")
                    console.print(f"The API's log:\n{log[-WORDS:]}", markup=False)
                if asked >= requests:
                    return
    raise Failed(f"{RUNS_MAX} runs sent {asked:,} requests only")


def _examples(requests: int) -> int:
    """Requests to draw for each operation."""
    return max(EXAMPLES_MIN, (requests - ENUMERATED) // OPERATIONS)


def _run(settings: Settings, key: str, program: Path, seed: int, examples: int) -> Run:
    folder = settings.data_dir
    log, counted = folder / "schemathesis.log", folder / "tally.json"
    for each in (log, counted):
        each.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "CONTINUITY_FUZZ_KEY": key,
        "CONTINUITY_FUZZ_FACTS": str(folder / "facts.json"),
        "CONTINUITY_FUZZ_TALLY": str(counted),
        "SCHEMATHESIS_HOOKS": HOOKS,
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "120",
    }
    command: list[str | Path] = [
        *(program, "--config-file", CONFIGURATION, "run", f"{settings.api_url}/openapi.json", "--no-color"),
        *(f"--seed={seed}", f"--max-examples={examples}"),
    ]
    with started(command, log=log, environment=environment, ready=lambda: True) as child:
        try:
            status = child.wait(RUN_SECONDS_MAX)
        except TimeoutExpired:
            raise Failed(f"schemathesis was not done after {RUN_SECONDS_MAX} s") from None
    printed = log.read_text(encoding="utf-8", errors="replace")
    if not counted.exists():
        raise Failed(f"schemathesis ended with {status}, and counted nothing:\n{printed[-WORDS:].strip()}")
    return Run(Tally.read(counted), status, printed)
