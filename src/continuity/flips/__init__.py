"""Flipped bits and other damage of stored data: does it ever become an answer? Run it: `python -m continuity.flips`.

It works in a database of its own, which goes at the end, and knows all readers: nothing else of the product knows it.
"""

from continuity.flips.campaign import BAD, VERDICTS, Campaign, Outcome, tally
from continuity.flips.damages import BLOBS, RESULTS, TABLES, Damage
from continuity.flips.scratch import Scratch
from continuity.flips.subject import Subject
from continuity.flips.values import Impossible, flipped

__all__ = [
    "BAD", "BLOBS", "RESULTS", "TABLES", "VERDICTS", "Campaign", "Damage", "Impossible", "Outcome", "Scratch",
    "Subject", "flipped", "tally",
]  # fmt: skip
