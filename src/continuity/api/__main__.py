"""`python -m continuity.api`: the API as a process. SIGTERM lets it finish what it has begun and ends it.

Reads the settings, makes the local key on first start, and listens only when the port is its own.
"""

import asyncio
import gc
import logging
import signal
import socket
import sys

import uvicorn
import uvloop
from fastapi import FastAPI

from continuity import blobs
from continuity.api.app import Neighbours, create_app
from continuity.api.assignments import Assignments
from continuity.api.intake import Intake
from continuity.api.reads import Reads
from continuity.config import Settings
from continuity.errors import ConfigError, ContinuityError
from continuity.keys import Keyring, ensure_local_key
from continuity.producers import AsyncCommandClient
from continuity.review import Past
from continuity.service import log_to_stderr

DRAIN_SECONDS_MAX = 12
"""Longer than the deadline of a command: whoever waits for an outcome at SIGTERM still gets it."""
KEEP_ALIVE_SECONDS = 75
EXIT_CONFIGURATION = 78
"""`EX_CONFIG` of sysexits.h: starting again without a change is of no use."""

log = logging.getLogger("continuity.api")


def build(settings: Settings) -> FastAPI:
    """Make the application on the real log and the real database."""
    ensure_local_key(settings.data_dir)
    commands = Intake(AsyncCommandClient(settings))
    reads = Reads(settings)
    keyring = Keyring(settings.data_dir)
    neighbours = Neighbours(commands, reads, Assignments(settings), blobs.opened(settings), Past(settings))
    return create_app(neighbours, keyring, probes={"log": commands.ready, "database": reads.ready})


def serve(settings: Settings) -> None:
    """Listen until SIGTERM or SIGINT. Raises ConfigError when the address cannot be had."""
    with _listen(settings) as listener:
        app = build(settings)
        # A full collection walks 72,000 objects that live as long as the process, for 50 ms: frozen, it takes none.
        gc.collect()
        gc.freeze()
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS_MAX,
        )
        server = uvicorn.Server(config)
        # The server raises the signal that ended it once more when it is done: it has done its work, the exit is clean.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        log.info("listening on %s:%d", *listener.getsockname()[:2])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve([listener]))
        if not server.started:
            raise ContinuityError("The API could not start.", fix="The reason stands above.")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.api_host, settings.api_port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"The API cannot listen on {settings.api_host}:{settings.api_port}: {error.strerror}.",
            fix="Set CONTINUITY_API_PORT to a free port, and CONTINUITY_API_HOST to an address of this machine.",
        ) from None
    return listener


def main() -> int:
    """Run until told to stop; the exit code says whether starting again helps."""
    log_to_stderr("info")
    try:
        settings = Settings.load()
        log_to_stderr(settings.log_level)
        serve(settings)
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 - the message is meant for whoever set it up, a traceback is not
        return EXIT_CONFIGURATION
    except ContinuityError as error:
        log.error("%s", error)  # noqa: TRY400
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
