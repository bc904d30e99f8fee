"""`python -m continuity.cli`: the same as the command `continuity`."""

from continuity.cli import main

main()
