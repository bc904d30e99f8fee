"""The real Kafka broker as files: its jars, pinned by SHA-256 in `jars.txt` and fetched once into the cache folder.

`jgo` downloads from Maven Central in pure Python. It only warns when a checksum does not fit, so every file is compared
with its pinned digest before it gets the name under which the broker finds it; an interrupted download leaves nothing
that looks complete. After the first time no network is touched. `pin` (`./dev lock`) writes the list anew.
"""

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jgo
import requests
from jgo.maven import MavenContext

from continuity.embedded.progress import Progress, Step
from continuity.errors import ConfigError

KAFKA_VERSION = "4.3.1"
BROKER = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl"
PINNED_FILE = "jars.txt"
DOWNLOADS_AT_ONCE = 6
ATTEMPTS_MAX = 3
TIMEOUT_SECONDS = 30


class Jar(NamedTuple):
    """One pinned file: Maven coordinate `group:artifact:version`, size in bytes, SHA-256 in hex."""

    coordinate: str
    size_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The file's name in Maven Central and in our folder."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def pinned() -> tuple[Jar, ...]:
    """The jars of this release, in the order of the committed list."""
    text = files("continuity.embedded").joinpath(PINNED_FILE).read_text(encoding="ascii")
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return tuple(Jar(coordinate, int(size), digest) for coordinate, size, digest in rows)


def ensure(cache_dir: Path, progress: Progress) -> Path:
    """The folder with every pinned jar, complete and verified; missing ones are downloaded with progress in bytes.

    Raises ConfigError when there is no network and the jars are not here yet, or the folder cannot be written.
    """
    folder = cache_dir / f"kafka-{KAFKA_VERSION}"
    missing = [jar for jar in pinned() if not _is_complete(folder / jar.name, jar)]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _download(missing, folder, progress)
        except PermissionError as error:
            fix = "Set CONTINUITY_CACHE_DIR to a folder of your own."
            raise ConfigError(f"{folder} cannot be written ({error.strerror}).", fix=fix) from error
        except OSError as error:
            if isinstance(error, requests.RequestException):
                raise _no_network(folder, missing, error) from error
            raise ConfigError(f"{folder} cannot be filled: {error}.", fix="Is the disk full?") from error
        except RuntimeError as error:
            raise _no_network(folder, missing, error) from error
    return folder


def _is_complete(path: Path, jar: Jar) -> bool:
    # A file gets its name only after its digest was compared, so later its size tells a later accident.
    try:
        return path.stat().st_size == jar.size_bytes
    except FileNotFoundError:
        return False


def _download(missing: list[Jar], folder: Path, progress: Progress) -> None:
    total, done = sum(jar.size_bytes for jar in missing), 0
    what = f"downloading Kafka {KAFKA_VERSION} ({len(missing)} files, once)"
    progress(Step("broker", what, 0, total))
    # Beside the folder, so that the last move is a rename within one file system.
    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as draft,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        fetched = {pool.submit(_fetch, jar, Path(draft)): jar for jar in missing}
        try:
            for future in as_completed(fetched):
                jar = fetched[future]
                future.result().replace(folder / jar.name)
                done += jar.size_bytes
                progress(Step("broker", what, done, total))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch(jar: Jar, draft: Path) -> Path:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        repository = draft / f"attempt-{attempt}"
        try:
            path = _resolve(jar.coordinate, repository)
        except (requests.RequestException, RuntimeError):
            if attempt == ATTEMPTS_MAX:
                raise
            continue
        if _digest(path) == jar.sha256:
            return path
    raise RuntimeError(f"{jar.name} arrived {ATTEMPTS_MAX} times with another content than the pinned one")


def _resolve(coordinate: str, repository: Path) -> Path:
    context = MavenContext(repo_cache=repository, timeout=TIMEOUT_SECONDS)
    group, artifact, version = coordinate.split(":")
    path: Path = context.project(group, artifact).at_version(version).artifact().resolve()
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _no_network(folder: Path, missing: list[Jar], error: Exception) -> ConfigError:
    return ConfigError(
        f"{len(missing)} of the {len(pinned())} files of Kafka {KAFKA_VERSION} could not be downloaded ({error}).",
        fix="The first start needs a network; behind a proxy set HTTPS_PROXY. "
        f"Or copy {folder} from a machine where it is complete.",
    )


def pin() -> None:
    """Write `jars.txt` anew, from what Maven Central says today of the versions named here."""
    # One at a time: asked for together, jgo lets the dependency management of log4j's parent decide over the broker's
    # own dependencies, and answers a 4.3 broker with kafka-clients 3.8.
    coordinates = [f"{each.groupId}:{each.artifactId}:{each.version}" for each in jgo.resolve(BROKER)]
    log4j = next(each for each in coordinates if ":log4j-core:" in each).rpartition(":")[2]
    coordinates.append(f"{LOGGING}:{log4j}")
    rows = []
    with tempfile.TemporaryDirectory() as draft:
        for coordinate in sorted(coordinates):
            path = _resolve(coordinate, Path(draft))
            rows.append(f"{coordinate} {path.stat().st_size} {_digest(path)}")
    text = "\n".join(["# Written by `./dev lock`: coordinate, bytes, SHA-256.", *rows, ""])
    Path(str(files("continuity.embedded").joinpath(PINNED_FILE))).write_text(text, encoding="ascii")
