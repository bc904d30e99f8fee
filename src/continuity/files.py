"""Files that appear whole or not at all. A flat adapter."""

import os
import tempfile
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Give a file, readable by its owner only, this content, on disk: a reader sees the old one or the new one.

    Its folder must exist. Raises OSError.
    """
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600 from the first moment
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
