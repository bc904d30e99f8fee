"""The command line `continuity`. Its door is `main`."""

import sys


def main() -> None:
    """Run, and end the process with the verb's exit code."""
    from continuity.cli.app import main as run  # noqa: PLC0415 - importing the package must cost nothing

    sys.exit(int(run()))
