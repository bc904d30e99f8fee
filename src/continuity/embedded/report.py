"""What runs in a data folder, looked up and not remembered. Reads the files of `register`, asks the kernel, no more."""

import shutil
from typing import TypedDict

from continuity.config import Settings, read_endpoints
from continuity.embedded import process, register

FULL_BYTES = 16 * 1024 * 1024
"""With less than this the supervisor itself may be unable to write down why a part died."""


class PartStatus(TypedDict):
    """One part. `since` is an instant in UTC; `reason` tells why it died last, where it did."""

    name: str
    state: str
    pid: int | None
    port: int
    since: str
    log: str
    restarts: int
    reason: str | None


class Status(TypedDict):
    """A data folder's stack. Without a supervisor `running` is false and no part is ready."""

    running: bool
    data_dir: str
    supervisor_pid: int | None
    since: str | None
    api_url: str | None
    kafka_bootstrap: str | None
    postgres_dsn: str | None
    parts: list[PartStatus]


def status(settings: Settings) -> Status:
    """What runs now, looked up and not remembered: a part whose process is gone is not called ready."""
    data_dir = settings.data_dir
    running = register.is_held(data_dir)
    holder = register.holder(data_dir) if running else None
    found = read_endpoints(data_dir)
    full = None
    if running and shutil.disk_usage(data_dir).free < FULL_BYTES:
        full = f"no space left on device: make room at {data_dir}, and it is started again"

    def now(part: register.PartState) -> PartStatus:
        alive = part.identity is not None and process.is_alive(part.identity)
        seen = part.state if running else ("left over" if alive else "stopped")
        if part.pid is not None and not alive and running:
            seen = "died"
        pid = part.pid if alive else None
        return PartStatus(
            name=part.name,
            state=seen,
            pid=pid,
            port=part.port,
            since=register.instant(part.since),
            log=part.log,
            restarts=part.restarts,
            reason=part.reason if seen == "ready" else full or part.reason,
        )

    def address(name: str) -> str | None:
        return str(found[name]) if running and name in found else None

    return Status(
        running=running,
        data_dir=str(data_dir),
        supervisor_pid=holder.pid if holder else None,
        since=register.instant(holder.since) if holder else None,
        api_url=address("api_url"),
        kafka_bootstrap=address("kafka_bootstrap"),
        postgres_dsn=address("postgres_dsn"),
        parts=[now(part) for part in register.read(data_dir)],
    )
