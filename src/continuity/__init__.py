"""Continuity for AI agents: unfinished work as explicit state, built from an append-only log of events.

The door of the package; what is named here is loaded when it is first used, so that a tool starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from continuity.client import AsyncContinuity, Continuity
    from continuity.client.errors import (
        Conflict,
        ContinuityError,
        Fenced,
        IllegalTransition,
        IntegrityError,
        InvalidForm,
        LeaseHeld,
        LeaseLost,
        NotFound,
        NothingToClaim,
        Refused,
        StepInProgress,
        TaskBlocked,
        TokenNeeded,
        Unauthorized,
        Unavailable,
        UnknownTask,
    )

__all__ = [
    "AsyncContinuity", "Conflict", "Continuity", "ContinuityError", "Fenced", "IllegalTransition", "IntegrityError",
    "InvalidForm", "LeaseHeld", "LeaseLost", "NotFound", "NothingToClaim", "Refused", "StepInProgress", "TaskBlocked",
    "TokenNeeded", "Unauthorized", "Unavailable", "UnknownTask",
]  # fmt: skip

_CLIENTS = frozenset({"AsyncContinuity", "Continuity"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("continuity.client" if name in _CLIENTS else "continuity.client.errors"), name)
