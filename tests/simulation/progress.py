"""What a campaign has come to so far, in a file: an interrupted one goes on from there, if the code is as it was."""

import json
import sys
from collections import Counter
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from continuity import files
from tests.simulation.campaign import NONE, Outcome, Violation

ROOT = Path(__file__).parents[2]


class OtherCampaign(Exception):
    """The file tells of other seeds, or of other code."""


class Progress(NamedTuple):
    """What the first seeds came to, and how many seconds that took."""

    outcome: Outcome = NONE
    seconds: float = 0.0


def load(path: Path, seeds: range) -> Progress:
    """What is in the file; nothing, where there is none yet. Raises OtherCampaign."""
    if not path.exists():
        return Progress()
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["code"] != code():
        raise OtherCampaign(f"{path} was written by other code: its worlds would be others today. Name a new file.")
    if kept["first_seed"] != seeds[0] or kept["runs"] > len(seeds):
        last = kept["first_seed"] + kept["runs"] - 1
        raise OtherCampaign(f"{path} is of the seeds {kept['first_seed']}..{last}: it cannot be gone on with here.")
    violations = [Violation(*each) for each in kept["violations"]]
    return Progress(Outcome(kept["runs"], violations, Counter(kept["counts"])), kept["seconds"])


def save(path: Path, seeds: range, progress: Progress) -> None:
    """Write the file."""
    kept = {"code": code(), "first_seed": seeds[0], "seconds": progress.seconds} | progress.outcome._asdict()
    files.replace(path, json.dumps(kept).encode())


@cache
def code() -> str:
    """The digest of all of the project's code that is loaded, as it was when the campaign began."""
    loaded = {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    own = sorted(file for file in loaded if file.is_relative_to(ROOT) and ".venv" not in file.parts)
    return sha256(b"".join(sha256(file.read_bytes()).digest() for file in own)).hexdigest()
