"""Where the API is and with which key to call it, when the caller does not say: environment, then the data folder.

Reads `CONTINUITY_API_URL`, `CONTINUITY_KEY`, `endpoints.json` and `local.key`; writes nothing.
"""

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from continuity.client.errors import Unauthorized
from continuity.config import Settings
from continuity.errors import ConfigError
from continuity.keys import local_key

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Access(NamedTuple):
    """An address without a trailing slash, and a key."""

    url: str
    key: str

    @property
    def is_secure(self) -> bool:
        """Whether the address is spoken to with TLS."""
        return self.url.startswith("https://")

    @property
    def is_local(self) -> bool:
        """Whether the address is on this machine, where no proxy stands between."""
        return urlsplit(self.url).hostname in LOOPBACK


def access(url: str | None = None, key: str | None = None) -> Access:
    """Complete what the caller gave. Raises ConfigError, or Unauthorized when no key is to be found."""
    settings = Settings.load()
    found = (url or settings.api_url).rstrip("/")
    if not found.startswith(("http://", "https://")):
        raise ConfigError(f"{found!r} is no address of an API.", fix="Give one like http://127.0.0.1:8420.")
    if given := (key or os.environ.get("CONTINUITY_KEY", "")).strip():
        if not given.isascii() or not given.isprintable() or " " in given:
            raise Unauthorized(
                "The key has characters that no key has.", fix="Check CONTINUITY_KEY.", code="unauthorized"
            )
        return Access(found, given)
    # The local key is for the stack of this machine: it is not sent to an address elsewhere.
    if Access(found, "").is_local and (mine := local_key(settings.data_dir)):
        return Access(found, mine)
    raise Unauthorized(
        f"There is no key for {found}.",
        fix="Start the stack with `continuity up`, which makes one, or set CONTINUITY_KEY to the key you were given.",
        code="unauthorized",
    )
