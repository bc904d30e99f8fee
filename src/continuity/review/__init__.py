"""Looking back: the work at an earlier event, what changed since, and whether all of it is still as it was written.

What stands here reads and never writes, over `core`, the flat adapters and Postgres. The API and the command line come
through this door. (Design, "Time travel and incident review".)
"""

from typing import TYPE_CHECKING, Any

from continuity.review.verification import FileProblem, FileVerdict, verify_file

if TYPE_CHECKING:
    from continuity.review.live import verify_all
    from continuity.review.past import NoSuchSeq, Past, UnknownTask

__all__ = ["FileProblem", "FileVerdict", "NoSuchSeq", "Past", "UnknownTask", "verify_all", "verify_file"]


def __getattr__(name: str) -> Any:
    # Lazy: to verify a file takes neither a broker's client nor a database's.
    if name == "verify_all":
        from continuity.review.live import verify_all  # noqa: PLC0415

        return verify_all
    if name in ("NoSuchSeq", "Past", "UnknownTask"):
        from continuity.review import past  # noqa: PLC0415

        return getattr(past, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
