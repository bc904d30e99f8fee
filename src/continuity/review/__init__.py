"""Looking back: the work at an earlier event, what changed since, and whether all of it is still as it was written.

What stands here reads and never writes, over `core`, the flat adapters and Postgres. The API and the command line come
through this door. (Design, "Time travel and incident review".)
"""

from continuity.review.live import verify_all
from continuity.review.past import NoSuchSeq, Past, UnknownTask
from continuity.review.verification import FileProblem, FileVerdict, verify_file

__all__ = ["FileProblem", "FileVerdict", "NoSuchSeq", "Past", "UnknownTask", "verify_all", "verify_file"]
