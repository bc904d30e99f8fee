"""Virtual environments beside our own, for what has to be kept out of it: from hash-pinned requirements, made once."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from benchmarks.peers.programs import WORDS, Failed

INSTALL_SECONDS_MAX = 900


def python(installed: Path) -> Path:
    """The interpreter of the environment in that folder."""
    return installed / "venv" / "bin" / "python"


def ensure(lock: Path, installed: Path, console: Console) -> None:
    """Have the environment in that folder as the lock wants it. Raises Failed."""
    stamp = installed / "venv" / "installed"
    wanted = f"{sys.version}\n{lock.read_text(encoding='utf-8')}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    console.print(f"  installing {lock.stem} into {installed}")
    installed.mkdir(parents=True, exist_ok=True)
    uv = [sys.executable, "-m", "uv", "--no-config", "--quiet"]
    run([*uv, "venv", "--clear", "--python", sys.executable, str(installed / "venv")])
    run([*uv, "pip", "install", "--python", str(python(installed)), "--require-hashes", "--requirements", str(lock)])
    stamp.write_text(wanted, encoding="utf-8")


def run(
    command: list[str], *, seconds_max: int = INSTALL_SECONDS_MAX, environment: Mapping[str, str] | None = None
) -> None:
    """Run a program that has to succeed. Raises Failed with its last words."""
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds_max,
            env=environment,
        )
    except subprocess.CalledProcessError as error:
        raise Failed(f"{command[0]} ended with {error.returncode}: {error.stdout[-WORDS:].strip()}") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} was not done after {seconds_max} s") from None
