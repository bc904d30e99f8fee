"""`python -m continuity.projections`: the projector as a process. SIGTERM lets it finish its batch and ends it."""

import gc
import logging
import sys
import threading

from continuity.config import Settings
from continuity.errors import ConfigError, ContinuityError, Fenced
from continuity.projections.projector import Projector
from continuity.projections.rejections import Rejections
from continuity.projections.running import keep_going
from continuity.service import Health, log_to_stderr, serve_health, stop_on_signal

EXIT_CONFIGURATION = 78
"""`EX_CONFIG` of sysexits.h: starting again without a change is of no use."""
EXIT_FENCED = 75
"""`EX_TEMPFAIL`: another projector is at work; this one may start when that one has ended."""
DRAIN_SECONDS_MAX = 10
GARBAGE_THRESHOLD = 50_000
"""Batches are plain trees that reference counting frees: looking for cycles as often as usual costs an eighth."""

log = logging.getLogger("projector")


def main() -> int:
    """Run until told to stop; the exit code says whether starting again helps."""
    stop = stop_on_signal()
    try:
        settings = Settings.load()
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 - the message is meant for whoever set it up, a traceback is not
        return EXIT_CONFIGURATION
    log_to_stderr(settings.log_level)
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    health = Health("projector")
    close_health = serve_health(settings.projector_port, health)
    # A daemon: what ends the projector ends it, whatever it waits for.
    beside = threading.Thread(target=keep_going, args=(Rejections(settings), stop), name="rejections", daemon=True)
    beside.start()
    try:
        Projector(settings, health=health).run(stop)
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400
        return EXIT_CONFIGURATION
    except ContinuityError as error:
        log.error("%s", error)  # noqa: TRY400
        return EXIT_FENCED if isinstance(error, Fenced) else 1
    finally:
        stop.set()
        health.set(ready=False, detail="stopped")
        beside.join(DRAIN_SECONDS_MAX)
        close_health()
    return 0


if __name__ == "__main__":
    sys.exit(main())
