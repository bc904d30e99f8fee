"""The services of continuity as data, and as parts of the stack: what each runs, and how it says that it is ready."""

import http.client
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from continuity.config import Settings
from continuity.embedded import broker, database
from continuity.embedded.part import Part

PROBE_SECONDS = 1.0


class Service(NamedTuple):
    """One service: its command (`{python}` stands for this interpreter), the setting with its port, where it answers.

    It is ready when `GET ready_path` answers 200; without a path, as soon as it runs.
    """

    name: str
    command: tuple[str, ...]
    port_setting: str
    ready_path: str | None = "/readyz"
    ready_seconds: float = 60.0


SERVICES = (
    Service("sequencer", ("{python}", "-m", "continuity.processors"), "sequencer_port"),
    Service(
        "projector", ("{python}", "-m", "continuity.projections", "--upgrade"), "projector_port", ready_seconds=600.0
    ),
    Service("api", ("{python}", "-m", "continuity.api"), "api_port"),
)


def parts(services: Iterable[Service], settings: Settings, logs_folder: Path) -> list[Part]:
    """The services as parts; each gets exactly these settings in its environment."""
    environment = {**os.environ, **settings.environment(), "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    return [
        Part(
            name=service.name,
            command=tuple(word.replace("{python}", sys.executable) for word in service.command),
            environment=environment,
            folder=settings.data_dir,
            log=logs_folder / f"{service.name}.log",
            port=getattr(settings, service.port_setting),
            needs=(broker.NAME, database.NAME),
            ready=_Probe(settings, service),
            ready_seconds=service.ready_seconds,
            stop_seconds=15.0,
        )
        for service in services
    ]


class _Probe:
    """Asks one service whether it is ready."""

    def __init__(self, settings: Settings, service: Service) -> None:
        self._host = settings.api_host if service.port_setting == "api_port" else "127.0.0.1"
        if self._host in {"0.0.0.0", "::"}:  # noqa: S104 - asks the server that listens everywhere at its near address
            self._host = "127.0.0.1"
        self._port = getattr(settings, service.port_setting)
        self._path = service.ready_path

    def __call__(self) -> bool:
        if self._path is None:
            return True
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PROBE_SECONDS)
        try:
            connection.request("GET", self._path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
