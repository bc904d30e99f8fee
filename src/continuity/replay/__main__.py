"""`python -m continuity.replay HISTORY` prints the list of expected refusals and skips, without a broker."""

import sys
from pathlib import Path

from continuity.replay import expected, history
from continuity.replay.plan import plan
from continuity.replay.rehearsal import rehearse

if __name__ == "__main__":
    with Path(sys.argv[1]).open("rb") as lines:
        found = history.read(lines)
    sys.stdout.write(expected.dumps(rehearse(plan(found, "local", "rehearsal")).deviations))
