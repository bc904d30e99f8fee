"""The real Kafka broker: one process, broker and controller in one, with its log in `<data_dir>/kafka`.

Every acknowledgement of the command and event topics means disk (`topics`), so the broker itself keeps its defaults
there. It listens on this machine only, and needs no system Java. Starts nothing itself: it describes a `Part`.
"""

import os
import secrets
import shutil
import socket
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from continuity import topics
from continuity.config import Settings
from continuity.embedded import jars, java, logs
from continuity.embedded.part import Part
from continuity.embedded.progress import Progress, Step
from continuity.errors import ConfigError, Retryable

NAME = "broker"
HOST = "127.0.0.1"
HEAP_MEBIBYTES = 512
FORMAT_SECONDS = 60

# G1 with a small pause goal, as Kafka's own scripts set it; a small code cache and few GC threads, as this is one
# program of several on a small machine.
JAVA_OPTIONS = (
    f"-Xms{HEAP_MEBIBYTES // 4}m",
    f"-Xmx{HEAP_MEBIBYTES}m",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:ReservedCodeCacheSize=96m",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-Xlog:cds*=error",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)


class Door(NamedTuple):
    """A further listener of the broker, for clients that reach it by another port than the one that it listens on.

    Kafka's clients go where the broker says it is: whoever stands in between needs a listener that says so.
    """

    name: str
    port: int
    advertised_port: int


def part(
    settings: Settings, *, controller_port: int, log: Path, progress: Progress, doors: Sequence[Door] = ()
) -> Part:
    """The broker of these settings, whose jars and Java are fetched or found here and now. Raises ConfigError."""
    home = settings.data_dir / "kafka"
    if "," in str(home):
        fix = "Set CONTINUITY_HOME to a folder without one."
        raise ConfigError(f"The broker takes {home} for a list of folders, because of the comma.", fix=fix)
    folder = jars.ensure(settings.cache_dir, progress)
    program = java.find()
    properties = home / "server.properties"
    logging = files("continuity.embedded").joinpath("log4j2.properties")
    archive = folder / f"classes-{_fingerprint(program)}.jsa"
    launch = (*JAVA_OPTIONS, f"-Dlog4j2.configurationFile={logging}", "-cp", f"{folder}/*")

    def prepare() -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (home / "log").exists():
            progress(Step(NAME, "formatting the log folder (once)"))
            # Made under another name and renamed, so that what carries the right name was finished.
            draft = home / "draft"
            shutil.rmtree(draft, ignore_errors=True)
            _write(properties, configuration(settings, draft, controller_port, doors))
            _format(program, launch, properties, archive, log)
            draft.replace(home / "log")
        _write(properties, configuration(settings, home / "log", controller_port, doors))

    def ready() -> bool:
        try:
            socket.create_connection((HOST, settings.kafka_port), timeout=1).close()
            topics.create(settings, timeout_seconds=5.0)
            topics.check(settings, timeout_seconds=5.0)
        except (OSError, Retryable):
            return False
        return True

    return Part(
        name=NAME,
        # An archive that is missing or does not fit this Java is passed over.
        command=(str(program), f"-XX:SharedArchiveFile={archive}", *launch, "kafka.Kafka", str(properties)),
        environment=_environment(),
        folder=settings.data_dir,
        log=log,
        port=settings.kafka_port,
        prepare=prepare,
        ready=ready,
        ready_seconds=90.0,
        stop_seconds=30.0,
    )


def configuration(
    settings: Settings, log_folder: Path, controller_port: int, doors: Sequence[Door] = ()
) -> dict[str, str]:
    """The broker's own settings, under Kafka's names."""
    listening = [f"PLAINTEXT://{HOST}:{settings.kafka_port}", *(f"{each.name}://{HOST}:{each.port}" for each in doors)]
    advertised = [listening[0], *(f"{each.name}://{HOST}:{each.advertised_port}" for each in doors)]
    protocols = [f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", *(each.name for each in doors))]
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": ",".join([*listening, f"CONTROLLER://{HOST}:{controller_port}"]),
        "advertised.listeners": ",".join(advertised),
        "listener.security.protocol.map": ",".join(protocols),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": log_folder,
        # One broker: its own topics cannot have more copies. Each partition of theirs costs memory and start-up time.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # Topics are made by `topics` with their settings, never by a misspelt name.
        "auto.create.topics.enable": "false",
        "message.max.bytes": topics.BATCH_BYTES_MAX,
        "group.initial.rebalance.delay.ms": 0,
        # After a crash the broker may register again only when its earlier life has timed out (9 s by default).
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 1000,
        # A consumer that was killed is noticed after its session: short ones are allowed for a quick takeover.
        "group.min.session.timeout.ms": 1000,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.segment.bytes": 256 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "log.index.size.max.bytes": 2 * 1024 * 1024,
        "metadata.log.segment.bytes": 16 * 1024 * 1024,
        "metadata.max.retention.bytes": 64 * 1024 * 1024,
    }
    return {key: str(value) for key, value in values.items()}


def _format(program: Path, launch: tuple[str, ...], properties: Path, archive: Path, log: Path) -> None:
    """Format the log folder that the properties name, and on the way archive the classes that the broker will load.

    Java then maps what it would parse: every later start takes 3.0 s of processor time instead of 4.5 s (2 cores).
    """
    cluster = urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode("ascii").replace("-", "a")
    draft = archive.with_suffix(f".{os.getpid()}")
    archiving = () if archive.exists() else (f"-XX:ArchiveClassesAtExit={draft}",)
    tool = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), "-g")
    command = [str(program), *archiving, *launch, *tool]
    began = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        try:
            answer = subprocess.run(
                command, stdout=output, stderr=output, env=_environment(), timeout=FORMAT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            fix = "Is the machine very busy? Try again."
            raise ConfigError(f"Formatting the broker's log folder took over {FORMAT_SECONDS} s.", fix=fix) from error
    if answer.returncode != 0:
        why = logs.reason(log, began)
        raise ConfigError(f"The broker's log folder could not be formatted: {why}", fix=f"See {log}.")
    with suppress(FileNotFoundError):
        draft.replace(archive)


def _fingerprint(program: Path) -> str:
    # Another Java at the same place needs an archive of its own.
    found = program.resolve()
    return sha256(f"{found} {found.stat().st_mtime_ns}".encode()).hexdigest()[:12]


def _write(properties: Path, values: Mapping[str, str]) -> None:
    properties.write_text("".join(f"{key}={_escaped(value)}\n" for key, value in values.items()), encoding="ascii")


def _environment() -> dict[str, str]:
    # CLASSPATH and the like of the caller's shell would end up in the broker.
    return {name: os.environ[name] for name in ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ") if name in os.environ}


def _escaped(value: str) -> str:
    # A properties file is Latin-1 with escapes, and a folder's name may hold anything.
    units = value.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2)]
    plain = range(0x20, 0x7F)
    return "".join(chr(code) if code in plain and chr(code) != "\\" else f"\\u{code:04x}" for code in codes)
