"""The projections: the journal, the work tables and the heads in Postgres, derived from the events topic.

Run the projector with `python -m continuity.projections`. `rebuild` makes all of it anew from the log.
"""

from continuity.projections.heartbeats import Heartbeats
from continuity.projections.projector import Projector
from continuity.projections.rebuild import Rebuilt, rebuild
from continuity.projections.rejections import Rejections
from continuity.projections.scratch import Scratch

__all__ = ["Heartbeats", "Projector", "Rebuilt", "Rejections", "Scratch", "rebuild"]
