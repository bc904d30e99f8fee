"""Settings: where the data, the broker and the database are, and how large things may get.

One frozen value, read once at the start of a process and passed on. A setting comes from the environment
(`CONTINUITY_<FIELD>`), else from `<data_dir>/endpoints.json` (what `continuity up` started, with its ports), else
from the default here. This module reads the environment and that one file, and nothing else.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from continuity.core.ids import NAME
from continuity.errors import ConfigError

ENDPOINTS_FILE = "endpoints.json"
_REMEMBERED = (
    "kafka_bootstrap",
    "kafka_port",
    "postgres_dsn",
    "postgres_port",
    "blobs",
    "s3_bucket",
    "s3_prefix",
    "s3_endpoint",
    "s3_region",
    "topic_prefix",
    "partitions",
    "replication_factor",
    "flush_every_message",
    "api_host",
    "api_port",
    "api_url",
    "sequencer_port",
    "projector_port",
)
HOME_VARIABLE = "CONTINUITY_HOME"
PARTITIONS_MAX = 1_000
PORT_MAX = 65_535
REPLICAS_MAX = 15
SNAPSHOTS_MAX = 1_000
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"(?:[A-Za-z0-9_.=-]+(?:/[A-Za-z0-9_.=-]+)*)?")
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Settings:
    """All settings of a process. Each field `name` is the variable `CONTINUITY_NAME`; `data_dir` is `CONTINUITY_HOME`.

    Ports are 1 to 65535; 0 means *off* for the services' own ports, and *any free one* for what `continuity up` starts.
    Blobs lie in the folder `blobs`, or in S3 where `s3_bucket` is set; credentials are found as by any AWS client.
    """

    data_dir: Path = field(default_factory=lambda: Path.home() / ".continuity")
    cache_dir: Path = field(default_factory=lambda: _default_cache_dir(os.environ))
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_port: int = 0
    postgres_dsn: str = "host=127.0.0.1 port=5432 user=continuity dbname=continuity"
    postgres_port: int = 0
    blobs: str = ""
    s3_bucket: str = ""
    s3_prefix: str = ""
    s3_endpoint: str = ""
    s3_region: str = ""
    snapshots_kept: int = 10
    topic_prefix: str = "continuity"
    partitions: int = 2
    replication_factor: int = 1
    flush_every_message: bool = True
    api_host: str = "127.0.0.1"
    api_port: int = 8420
    api_url: str = ""
    sequencer_port: int = 0
    projector_port: int = 0
    cache_workflows_max: int = 10_000
    log_level: str = "info"
    explicit: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """Names of the fields that the environment set: these are never replaced by a remembered or a free value."""

    def __post_init__(self) -> None:
        """Derive what hangs together and refuse what cannot work, with the variable and the fix in the error."""
        for name in ("data_dir", "cache_dir"):
            object.__setattr__(self, name, Path(getattr(self, name)).expanduser().absolute())
        if not self.blobs:
            object.__setattr__(self, "blobs", str(self.data_dir / "blobs"))
        if not self.api_url:
            object.__setattr__(self, "api_url", f"http://{self.api_host}:{self.api_port}")
        for name, accepts, rule in _RULES:
            if not accepts(getattr(self, name)):
                value = getattr(self, name)
                raise ConfigError(f"{variable(name)} is {value!r}, which cannot be used.", fix=f"Set it to {rule}.")

    @classmethod
    def load(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """The settings of this environment. Raises ConfigError, which names the variable and the fix."""
        given = {name: env[variable(name)] for name in _kinds() if env.get(variable(name), "").strip()}
        values = {name: _parse(name, text) for name, text in given.items()}
        values.setdefault("cache_dir", _default_cache_dir(env))
        values.setdefault("data_dir", Path(env.get("HOME") or Path.home()) / ".continuity")
        found = read_endpoints(Path(str(values["data_dir"])).expanduser())
        if {"api_host", "api_port"} & given.keys() and "api_url" not in given:
            found.pop("api_url", None)
        return cls(**{**found, **values}, explicit=frozenset(given))  # type: ignore[arg-type]  # _parse knows the kinds

    def with_values(self, **changes: object) -> "Settings":
        """These settings with some fields changed; the rules hold for the new value, too."""
        return replace(self, **changes)  # type: ignore[arg-type]  # __post_init__ checks the values

    def environment(self) -> dict[str, str]:
        """The variables that make `load` in another process give these very settings."""
        return {variable(name): _render(getattr(self, name)) for name in _kinds()}

    def topic(self, name: str) -> str:
        """The full name of one of the five topics, such as `continuity.events` for `events`."""
        return f"{self.topic_prefix}.{name}"

    @property
    def commands_topic(self) -> str:
        """Commands, keyed by workflow."""
        return self.topic("commands")

    @property
    def events_topic(self) -> str:
        """Events and the sequencer's own records: the truth."""
        return self.topic("events")

    @property
    def leases_topic(self) -> str:
        """The last known expiry of each lease, compacted."""
        return self.topic("leases")

    @property
    def replies_topic(self) -> str:
        """Outcomes on their way to whoever asked."""
        return self.topic("replies")

    @property
    def rejections_topic(self) -> str:
        """Refusals and poison, for audit."""
        return self.topic("rejections")

    @property
    def sequencer_group(self) -> str:
        """The consumer group that shares out the partitions of the commands topic."""
        return f"{self.topic_prefix}.sequencer"

    @property
    def projector_group(self) -> str:
        """The consumer group that shares out the partitions of the events topic."""
        return f"{self.topic_prefix}.projector"


def variable(name: str) -> str:
    """The environment variable of a field of Settings."""
    return HOME_VARIABLE if name == "data_dir" else f"CONTINUITY_{name.upper()}"


def render_endpoints(settings: Settings) -> str:
    """The text of `endpoints.json`: what other processes need to know to find this stack. It holds no secret."""
    values = {name: getattr(settings, name) for name in _REMEMBERED}
    return json.dumps({"settings": values}, indent=1)


def _kinds() -> dict[str, object]:
    return {each.name: each.type for each in fields(Settings) if each.name != "explicit"}


def _default_cache_dir(env: Mapping[str, str]) -> Path:
    # Downloads are the same for every data folder of a user, so they live where caches live.
    return Path(env.get("XDG_CACHE_HOME") or Path(env.get("HOME") or Path.home()) / ".cache") / "continuity"


def _parse(name: str, text: str) -> object:
    kind = _kinds()[name]
    text = text.strip()
    if kind is bool:
        if text.lower() in {"1", "true", "yes", "on"}:
            return True
        if text.lower() in {"0", "false", "no", "off"}:
            return False
        raise ConfigError(f"{variable(name)} is {text!r}, which is neither yes nor no.", fix="Set it to true or false.")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            fix = "Set it to a whole number, such as 2."
            raise ConfigError(f"{variable(name)} is {text!r}, which is no whole number.", fix=fix) from None
    return Path(text) if kind is Path else text


def _render(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_endpoints(data_dir: Path) -> dict[str, object]:
    """The settings that `continuity up` wrote down in a data folder, by field; none before the first. ConfigError."""
    path = data_dir / ENDPOINTS_FILE
    try:
        found = json.loads(path.read_bytes())
        values = {str(name): value for name, value in found["settings"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError:
        fix = f"Set {HOME_VARIABLE} to a folder of your own, or run as its owner."
        raise ConfigError(f"{path} belongs to somebody else.", fix=fix) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fix = "Remove it: `continuity up` writes it anew."
        raise ConfigError(f"{path} is damaged ({error}).", fix=fix) from error
    kinds = _kinds()
    return {name: value for name, value in values.items() if kinds.get(name) is type(value)}


def _is_port(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= PORT_MAX


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_address(value: object) -> bool:
    return str(value).startswith(("http://", "https://"))


_PORT = "a port from 1 to 65535, or 0"
_RULES: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("kafka_bootstrap", _is_word, "host:port of a broker"),
    ("kafka_port", _is_port, _PORT),
    ("postgres_dsn", _is_word, "a connection string, such as host=127.0.0.1 dbname=continuity"),
    ("postgres_port", _is_port, _PORT),
    ("s3_bucket", lambda value: not value or bool(BUCKET.fullmatch(str(value))), "the name of a bucket"),
    ("s3_prefix", lambda value: bool(PREFIX.fullmatch(str(value))), "a path such as continuity/blobs"),
    ("s3_endpoint", lambda value: not value or _is_address(value), "an address that starts with https:// or http://"),
    ("snapshots_kept", lambda value: isinstance(value, int) and 0 < value <= SNAPSHOTS_MAX, f"1 to {SNAPSHOTS_MAX}"),
    ("topic_prefix", lambda value: bool(NAME.fullmatch(str(value))), f"a name of the form {NAME.pattern}"),
    ("partitions", lambda value: isinstance(value, int) and 0 < value <= PARTITIONS_MAX, f"1 to {PARTITIONS_MAX}"),
    ("replication_factor", lambda value: isinstance(value, int) and 0 < value <= REPLICAS_MAX, f"1 to {REPLICAS_MAX}"),
    ("api_host", _is_word, "the address to listen on, such as 127.0.0.1"),
    ("api_port", _is_port, _PORT),
    ("api_url", _is_address, "an address that starts with http://"),
    ("sequencer_port", _is_port, _PORT),
    ("projector_port", _is_port, _PORT),
    ("cache_workflows_max", lambda value: isinstance(value, int) and value > 0, "1 or more"),
    ("log_level", lambda value: value in LOG_LEVELS, "one of " + ", ".join(LOG_LEVELS)),
)
