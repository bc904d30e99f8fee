"""Whom Postgres runs as, and where its files are then. Makes and hands over folders; runs nothing.

Postgres refuses to run as root, and rightly. Started by root, it runs as `nobody`, and needs its data and its programs
where `nobody` can get at them. Both are used where they are when every folder above them lets others pass; else (a home
folder of mode 700, as root's usually is) they live below `/var/lib/continuity`, and `<data_dir>/postgres` is a link to
that place. Nobody's rights are widened: no folder's mode is changed, and no file outside our own is handed over.
"""

import os
import pwd
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from continuity.embedded.process import Account
from continuity.errors import ConfigError

OTHER_USER = "nobody"
SHARED = Path("/var/lib/continuity")
FIX = (
    "Run as a plain user. Or set CONTINUITY_HOME to a folder that everybody may pass through, such as /srv/continuity."
)


def for_postgres() -> Account | None:
    """The account to drop to, or None when the one that we have will do. Raises ConfigError when root has none."""
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(OTHER_USER)
    except KeyError:
        raise ConfigError(f"Postgres refuses to run as root, and there is no user {OTHER_USER}.", fix=FIX) from None
    return Account(found.pw_uid, found.pw_gid)


def home(wanted: Path, owner: Account | None) -> Path:
    """The folder for the database's files, made if need be: `wanted`, or what the link `wanted` leads to."""
    if owner is None:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        return wanted
    try:
        if not wanted.exists() and not is_passable(wanted.parent):
            wanted.unlink(missing_ok=True)
            wanted.symlink_to(_shared() / secrets.token_hex(8))
        place = wanted.resolve()
        place.mkdir(mode=0o700, exist_ok=True)
        if place.stat().st_uid not in {0, owner.uid}:
            raise _made_by_another(place)
        os.chown(place, *owner)
    except OSError as error:
        raise ConfigError(f"The database's folder cannot be handed to {OTHER_USER}: {error}.", fix=FIX) from error
    if not is_passable(place.parent):
        raise ConfigError(f"The user {OTHER_USER} cannot get at {place}: a folder above it is closed.", fix=FIX)
    return place


def programs(package: Path, owner: Account | None) -> Path:
    """The folder with Postgres' programs, given the installed package; copied where the account can run them."""
    inside = Path(package.name, "pginstall", "bin")
    if owner is None or is_passable(package.parent / inside):
        return package.parent / inside
    # The libraries stand beside the package and are found relative to the programs, so both are copied as they stand.
    sources = [package, *package.parent.glob(f"{package.name}.libs")]
    version = next(package.parent.glob(f"{package.name}-*.dist-info"), package).name.removesuffix(".dist-info")
    try:
        target = _shared() / version
        if not target.exists():
            draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".programs-"))
            for source in sources:
                shutil.copytree(source, draft / source.name, symlinks=True)
            _open_for_reading(draft)
            draft.replace(target)
    except OSError as error:
        raise ConfigError(
            f"Postgres' programs cannot be put where {OTHER_USER} can run them: {error}.", fix=FIX
        ) from error
    return target / inside


def _made_by_another(place: Path) -> ConfigError:
    user = place.stat().st_uid
    fix = f"Start it as user {user}, who made it, or use another folder (CONTINUITY_HOME)."
    return ConfigError(f"{place} belongs to user {user}: the database in it was not made by root's stack.", fix=fix)


def write_for(path: Path, text: str, owner: Account | None) -> None:
    """Write a secret that only the account (or we, without one) can read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        if owner is not None:
            os.fchown(file.fileno(), *owner)


def is_passable(folder: Path) -> bool:
    """Whether others may pass through this folder and every one above it."""
    resolved = folder.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (resolved, *resolved.parents))


def _open_for_reading(folder: Path) -> None:
    # An installation under a strict umask is readable by its owner alone.
    for each in (folder, *folder.rglob("*")):
        if not each.is_symlink():
            executable = each.is_dir() or each.stat().st_mode & stat.S_IXUSR
            each.chmod(0o755 if executable else 0o644)


def _shared() -> Path:
    SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = SHARED.stat()
    if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or not is_passable(SHARED):
        raise ConfigError(
            f"{SHARED} has to belong to root, be closed for writing to others and open for passing through.",
            fix=f"chown root {SHARED}; chmod 755 {SHARED}",
        )
    return SHARED
