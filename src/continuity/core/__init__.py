"""The rules of `continuity`: pure. No I/O, no clock, no random number, no import from a sibling package.

The door: `decide` a command, `evolve` by an event, `restore` from the log, ask for the `next_step`. An import check
in `./dev check` holds the purity.
"""

from continuity.core.decide import decide
from continuity.core.evolve import evolve
from continuity.core.next_step import NextStep, next_step
from continuity.core.outcome import Accepted, Answered, Duplicate, Rejected
from continuity.core.records import Command, Event
from continuity.core.restore import restore
from continuity.core.state import State

__all__ = [
    "Accepted", "Answered", "Command", "Duplicate", "Event", "NextStep", "Rejected", "State", "decide", "evolve",
    "next_step", "restore",
]  # fmt: skip
