"""Ports of the stack: the configured one, else the one of last time, else a free one. Binds for a moment, no more."""

import random
import socket

from continuity.config import variable
from continuity.errors import ConfigError

FREE_FROM, FREE_TO = 20_000, 30_000
"""Below the range from which the kernel serves outgoing connections: a remembered port there gets taken by chance."""


def choose(name: str, host: str, *, configured: int | None, remembered: int | None, usual: int, taken: set[int]) -> int:
    """A port for `name` that nobody listens on, not one of `taken`; it is added to them.

    `configured` was asked for by the user and is never replaced: ConfigError when somebody else has it. `remembered` is
    the one of the last start, `usual` the product's own choice (0 for none); both give way.
    """
    if configured:
        if configured in taken or not is_free(host, configured):
            raise ConfigError(
                f"Port {configured} on {host} is taken by another program.",
                fix=f"Stop that program, or set {variable(name)} to another port (0: any free one).",
            )
        taken.add(configured)
        return configured
    drawn = random.SystemRandom().sample(range(FREE_FROM, FREE_TO), 200)
    for port in (remembered or 0, usual, *drawn):
        if port and port not in taken and is_free(host, port):
            taken.add(port)
            return port
    raise ConfigError(f"No port is free on {host}.", fix=f"Set {variable('api_host')} to an address of this machine.")


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a server that just ended do not hold its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # Two sockets may share an address until one listens.
            probe.listen(1)
        except OSError:
            return False
    return True
