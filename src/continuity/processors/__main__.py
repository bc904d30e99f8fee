"""`python -m continuity.processors`: a sequencer process. SIGTERM drains it.

Exit code 75 asks to be started again, 78 is a configuration fault.
"""

import gc
import logging
import os
import sys
from threading import Event

from continuity import blobs, topics
from continuity.config import Settings
from continuity.errors import ConfigError, Retryable
from continuity.processors.breaker import Breaker
from continuity.processors.loop import Apart, Loop
from continuity.processors.metrics import export
from continuity.processors.store import Store
from continuity.service import Health, log_to_stderr, serve_health, stop_on_signal

RETRY_SECONDS = 1.0
EXIT_CONFIGURATION = 78
"""`EX_CONFIG` of sysexits.h: starting again without a change is of no use."""
EXIT_AGAIN = 75
"""`EX_TEMPFAIL` of sysexits.h: start again."""
GARBAGE_THRESHOLD = 50_000
"""A batch makes thousands of objects that die with it, and no cycles (none in 60,000 commands): looking for them every
700 objects, as Python does by itself, took 11 % of the sequencer's time."""


def main() -> int:
    """Run until told to stop."""
    settings = Settings.load()
    log_to_stderr(settings.log_level)
    stop = stop_on_signal()
    health = Health("sequencer")
    close = serve_health(settings.sequencer_port, health)
    try:
        if not _wait_for_topics(settings, health, stop):
            return 0
        loop = Loop(settings, Breaker(Store(settings.postgres_dsn, blobs.opened(settings))), health)
        export(loop)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)
        loop.run(stop)
    except ConfigError as error:
        logging.getLogger("sequencer").error("%s", error)  # noqa: TRY400 - the reason is the message
        return EXIT_CONFIGURATION
    except Apart as apart:
        logging.getLogger("sequencer").error("%s It ends, to be started again.", apart)  # noqa: TRY400
        os._exit(EXIT_AGAIN)  # at once: an orderly end would close what is stuck
    finally:
        close()
    return 0


def _wait_for_topics(settings: Settings, health: Health, stop: Event) -> bool:
    """Wait until the broker answers and its topics are as they must be; False when told to stop meanwhile."""
    while not stop.is_set():
        try:
            topics.check(settings)
        except Retryable as error:
            health.set(ready=False, detail=error.detail)
            stop.wait(RETRY_SECONDS)
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
