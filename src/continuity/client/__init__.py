"""The SDK over HTTP: `Continuity` and `AsyncContinuity`, bound to a project, and the errors they raise."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from continuity.client.asynchronous import AsyncContinuity
    from continuity.client.sync import Continuity

__all__ = ["AsyncContinuity", "Continuity"]


def __getattr__(name: str) -> Any:
    # Lazy: the command line needs the errors on every call, and httpx (250 ms) only when it asks the service.
    if name == "Continuity":
        from continuity.client.sync import Continuity  # noqa: PLC0415

        return Continuity
    if name == "AsyncContinuity":
        from continuity.client.asynchronous import AsyncContinuity  # noqa: PLC0415

        return AsyncContinuity
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
