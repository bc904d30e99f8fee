"""The HTTP application: commands go to the log, questions to Postgres. Its door: `create_app` and `Neighbours`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from continuity.api.app import Neighbours, create_app

__all__ = ["Neighbours", "create_app"]


def __getattr__(name: str) -> Any:
    # Lazy: `continuity.api.reads` is also imported by tools that need no web framework.
    if name in __all__:
        from continuity.api import app  # noqa: PLC0415

        return getattr(app, name)
    raise AttributeError(name)
