"""`python -m continuity.projections`: the projector as a process. SIGTERM lets it finish its batch and ends it.

With `--upgrade` it first makes tables of an older version anew from the log, which it otherwise refuses to touch: right
where one installation is upgraded as a whole, wrong where older services are still at work.
"""

import gc
import logging
import sys
import threading

from continuity import postgres
from continuity.config import Settings
from continuity.errors import ConfigError, ContinuityError, Fenced
from continuity.projections.heartbeats import Heartbeats
from continuity.projections.projector import Projector
from continuity.projections.rebuild import rebuild
from continuity.projections.rejections import Rejections
from continuity.projections.running import keep_going
from continuity.service import Health, log_to_stderr, serve_health, stop_on_signal

UPGRADE = "--upgrade"
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
    # Daemons: what ends the projector ends them, whatever they wait for.
    beside = [
        threading.Thread(target=keep_going, args=(reading, stop), name=reading.name, daemon=True)
        for reading in (Rejections(settings), Heartbeats(settings))
    ]
    try:
        if UPGRADE in sys.argv[1:]:
            _upgrade(settings, health)
        for each in beside:
            each.start()
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
        for each in beside:
            if each.ident is not None:
                each.join(DRAIN_SECONDS_MAX)
        close_health()
    return 0


def _upgrade(settings: Settings, health: Health) -> None:
    connection = postgres.connect(settings.postgres_dsn)
    try:
        with postgres.translated():
            found = postgres.schema_version(connection)
    finally:
        connection.close()
    if found is None or found >= postgres.SCHEMA_VERSION:
        return
    log.warning("the tables have version %d, this is %d: they are made anew", found, postgres.SCHEMA_VERSION)
    rebuild(settings, lambda done, total: health.set(ready=False, detail=f"rebuilding: {done:,} of {total:,} records"))


if __name__ == "__main__":
    sys.exit(main())
