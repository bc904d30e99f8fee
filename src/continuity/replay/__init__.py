"""The real history: a tracker's facts become the commands of one project, sent by several workers, and all is checked.

The door: `replay`, and what it reports. What becomes of which fact is told in `examples/README.md`.
"""

from continuity.replay.run import WORKERS, Progress, Report, replay

__all__ = ["WORKERS", "Progress", "Report", "replay"]
