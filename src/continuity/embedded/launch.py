"""Being the supervisor of a data folder: from a request to running parts. Called by whoever becomes that process."""

import json
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from continuity.config import ENDPOINTS_FILE, Settings, read_endpoints, render_endpoints, variable
from continuity.embedded import broker, database, holding, ports, register
from continuity.embedded.process import Identity
from continuity.embedded.progress import Progress, Step
from continuity.embedded.services import SERVICES, Service, parts
from continuity.embedded.supervisor import Supervisor
from continuity.errors import ConfigError

FREE_BYTES_MIN = 512 * 1024 * 1024
READY = Step("stack", "ready")


@dataclass(frozen=True)
class Request:
    """What a supervisor is asked to run. It stops when the process `owner` is gone."""

    settings: Settings
    services: tuple[Service, ...] = SERVICES
    owner: Identity | None = None
    doors: tuple[broker.Door, ...] = ()

    def to_json(self) -> str:
        """The request as one line, for another process."""
        plain = {each.name: getattr(self.settings, each.name) for each in fields(Settings)}
        return json.dumps(
            {
                "settings": {**plain, "explicit": sorted(self.settings.explicit)},
                "services": [each._asdict() for each in self.services],
                "owner": self.owner,
                "doors": self.doors,
            },
            default=str,
        )

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """The request that `to_json` wrote."""
        values = json.loads(text)
        settings = values["settings"]
        for name in ("data_dir", "cache_dir"):
            settings[name] = Path(settings[name])
        settings["explicit"] = frozenset(settings["explicit"])
        services = tuple(Service(**{**each, "command": tuple(each["command"])}) for each in values["services"])
        owner = Identity(*values["owner"]) if values["owner"] else None
        return cls(Settings(**settings), services, owner, tuple(broker.Door(*each) for each in values["doors"]))


def supervise(request: Request, progress: Progress) -> None:
    """Be the supervisor of this request until it ends. Reports `READY` once. Raises ConfigError."""
    settings = request.settings
    _refuse_what_cannot_be(settings)
    try:
        _run(request, progress)
    except OSError as error:
        fix = f"Is the disk full, or the folder {settings.data_dir} not yours?"
        raise ConfigError(f"The stack cannot be started: {error}.", fix=fix) from error


def _run(request: Request, progress: Progress) -> None:
    settings = request.settings
    with holding.held(settings):
        holding.end_leftovers(settings.data_dir, progress)
        _check_disk(settings)
        taken: set[int] = set()
        settings = settle(settings, taken)
        controller_port = ports.choose(
            "kafka_port", broker.HOST, configured=None, remembered=settings.kafka_port + 1, usual=0, taken=taken
        )
        folder = settings.data_dir / "logs"
        folder.mkdir(mode=0o700, exist_ok=True)
        all_parts = [
            database.part(settings, log=folder / "postgres.log", progress=progress),
            broker.part(
                settings,
                controller_port=controller_port,
                log=folder / "kafka.log",
                progress=progress,
                doors=request.doors,
            ),
            *parts(request.services, settings, folder),
        ]
        Path(settings.blobs).mkdir(mode=0o700, parents=True, exist_ok=True)
        supervisor = Supervisor(all_parts, settings.data_dir, progress, request.owner)

        def when_ready() -> None:
            # Only now: what a failed start was asked for, another number of partitions perhaps, is not remembered.
            register.replace_file(settings.data_dir / ENDPOINTS_FILE, render_endpoints(settings))
            progress(READY)

        supervisor.run(when_ready)


def settle(settings: Settings, taken: set[int]) -> Settings:
    """These settings with a port for everything and the addresses that follow from the ports."""
    found = read_endpoints(settings.data_dir)

    def port(name: str, host: str, usual: int = 0) -> int:
        value = int(getattr(settings, name))
        remembered = found.get(name, value)
        configured = value if name in settings.explicit else None
        return ports.choose(
            name,
            host,
            configured=configured,
            remembered=remembered if isinstance(remembered, int) else None,
            # Whoever asks for any free port does not want the usual one.
            usual=0 if name in settings.explicit else usual,
            taken=taken,
        )

    kafka_port = port("kafka_port", broker.HOST)
    postgres_port = port("postgres_port", database.HOST)
    api_port = port("api_port", settings.api_host, usual=type(settings).api_port)
    named = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    given_url = settings.api_url if "api_url" in settings.explicit else f"http://{named}:{api_port}"
    return settings.with_values(
        kafka_port=kafka_port,
        kafka_bootstrap=f"{broker.HOST}:{kafka_port}",
        postgres_port=postgres_port,
        postgres_dsn=database.dsn(settings, port=postgres_port),
        api_port=api_port,
        api_url=given_url,
        sequencer_port=port("sequencer_port", "127.0.0.1"),
        projector_port=port("projector_port", "127.0.0.1"),
    )


def _refuse_what_cannot_be(settings: Settings) -> None:
    for name, what in (("kafka_bootstrap", "a broker"), ("postgres_dsn", "a database")):
        if name in settings.explicit:
            raise ConfigError(
                f"{variable(name)} names {what} of your own, and `continuity up` starts its own.",
                fix=f"Unset {variable(name)}. Or, with your own, start only the services: "
                "`python -m continuity.processors`, `continuity.projections` and `continuity.api`.",
            )
    if settings.replication_factor != 1:
        fix = f"Set {variable('replication_factor')}=1, or use a cluster of your own."
        raise ConfigError(f"{settings.replication_factor} replicas need as many brokers; this stack has one.", fix=fix)


def _check_disk(settings: Settings) -> None:
    free = shutil.disk_usage(settings.data_dir).free
    if free < FREE_BYTES_MIN:
        raise ConfigError(
            f"Only {free >> 20} MiB are free at {settings.data_dir}, and the start needs {FREE_BYTES_MIN >> 20} MiB.",
            fix=f"Make room, or set {variable('data_dir')} to a folder on another disk.",
        )
