"""API keys: who may call, for which tenant, as which operator. A flat adapter over two files in the data folder.

`keys.json` holds only SHA-256 digests of the keys: a key has 256 random bits, so that a plain digest cannot be
searched, and nobody who reads the file can call the API. `local.key` holds the one key that is made on first start, for
whoever runs the stack on this machine: both are readable by their owner only. A change of `keys.json` is in force
within a second, in every API process that shares the folder.
"""

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast, get_args

from continuity import files
from continuity.core.ids import NAME
from continuity.core.limits import OPERATOR_CHARACTERS_MAX
from continuity.core.records import OperatorKind
from continuity.errors import ConfigError

KEYS_FILE = "keys.json"
LOCAL_KEY_FILE = "local.key"
LOCAL_TENANT = "local"
KEY_PREFIX = "ck_"
RELOAD_SECONDS = 1.0


class Caller(NamedTuple):
    """Who a key stands for. `key_id`, the start of its digest, names the key without giving it away."""

    tenant: str
    operator_id: str
    operator_kind: OperatorKind
    key_id: str


class Keyring:
    """The keys of a data folder, looked up by digest. One `stat` a second sees to it that a revoked key ends."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / KEYS_FILE
        self._version: tuple[int, int] | None = None
        self._callers: dict[str, Caller] = {}
        self._checked_at = -RELOAD_SECONDS

    def caller(self, key: str) -> Caller | None:
        """Whom the key stands for, or None when nobody was given it."""
        wanted = digest(key)
        if time.monotonic() - self._checked_at >= RELOAD_SECONDS or wanted not in self._callers:
            self._reload()
        return self._callers.get(wanted)

    def _reload(self) -> None:
        self._checked_at = time.monotonic()
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._version, self._callers = None, {}
            return
        version = (stat.st_mtime_ns, stat.st_ino)
        if version != self._version:
            self._callers = {row["sha256"]: _caller(row) for row in _read(self._path)}
            self._version = version


def digest(key: str) -> str:
    """SHA-256 of a key, hex: the only form in which keys are stored."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def ensure_local_key(data_dir: Path) -> str:
    """The key of whoever runs the stack, made on first start. Raises ConfigError when others can read it."""
    path = data_dir / LOCAL_KEY_FILE
    with _exclusive(data_dir):
        key = _read_local(path)
        if key is None:
            key = _new_key()
            files.replace(path, f"{key}\n".encode("ascii"))
        if digest(key) not in {row["sha256"] for row in _read(data_dir / KEYS_FILE)}:
            _append(data_dir, key, tenant=LOCAL_TENANT, operator_id="local", operator_kind="human")
    return key


def local_key(data_dir: Path) -> str | None:
    """The local key where there is one; None before the first start."""
    return _read_local(data_dir / LOCAL_KEY_FILE)


def issue_key(data_dir: Path, *, tenant: str, operator_id: str, operator_kind: str) -> str:
    """Make a key for an operator of a tenant. It is returned once and stored nowhere. Raises ConfigError."""
    if not NAME.fullmatch(tenant):
        raise ConfigError(f"{tenant!r:.80} is no name of a tenant.", fix=f"Use a name like {NAME.pattern}.")
    if not 0 < len(operator_id) <= OPERATOR_CHARACTERS_MAX or not operator_id.isprintable():
        raise ConfigError("That operator_id cannot be used.", fix=f"Use 1 to {OPERATOR_CHARACTERS_MAX} characters.")
    if operator_kind not in get_args(OperatorKind):
        kinds = ", ".join(get_args(OperatorKind))
        raise ConfigError(f"{operator_kind!r:.80} is no kind of operator.", fix=f"Use one of {kinds}.")
    key = _new_key()
    with _exclusive(data_dir):
        _append(data_dir, key, tenant=tenant, operator_id=operator_id, operator_kind=operator_kind)
    return key


def list_keys(data_dir: Path) -> list[Caller]:
    """Whom keys were given to, in the order in which they were made."""
    return [_caller(row) for row in _read(data_dir / KEYS_FILE)]


def revoke_key(data_dir: Path, key_id: str) -> bool:
    """Take a key back: requests with it are refused within a second. False when there is none of that id."""
    with _exclusive(data_dir):
        rows = _read(data_dir / KEYS_FILE)
        kept = [row for row in rows if _caller(row).key_id != key_id]
        if len(kept) == len(rows):
            return False
        files.replace(data_dir / KEYS_FILE, json.dumps({"keys": kept}, indent=1).encode("ascii"))
    return True


def _caller(row: dict[str, str]) -> Caller:
    kind = cast("OperatorKind", row["operator_kind"])
    return Caller(row["tenant"], row["operator_id"], kind, row["sha256"][:12])


def _new_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(32)


def _read_local(path: Path) -> str | None:
    try:
        key = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ConfigError(
            f"{path} belongs to somebody else.", fix="Set CONTINUITY_KEY to a key that was given to you."
        ) from None
    if path.stat().st_mode & 0o077:
        raise ConfigError(
            f"{path} can be read by others than its owner.", fix="Remove it: the next start makes a new key."
        )
    return key


def _read(path: Path) -> list[dict[str, str]]:
    try:
        rows: list[dict[str, str]] = json.loads(path.read_bytes())["keys"]
        for row in rows:
            _caller(row)
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {error}.", fix="Restore it, or remove it and issue new keys.") from error
    return rows


def _append(data_dir: Path, key: str, *, tenant: str, operator_id: str, operator_kind: str) -> None:
    row = {"sha256": digest(key), "tenant": tenant, "operator_id": operator_id, "operator_kind": operator_kind}
    path = data_dir / KEYS_FILE
    files.replace(path, json.dumps({"keys": [*_read(path), row]}, indent=1).encode("ascii"))


@contextmanager
def _exclusive(data_dir: Path) -> Iterator[None]:
    # Two processes that start together must end up with one local key and with both keys' rows.
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / ".keys.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
