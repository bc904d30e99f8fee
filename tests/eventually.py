"""Waiting for a condition, with a deadline, instead of sleeping for a time that is too short on some machine."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

POLL_SECONDS = 0.02


def eventually(condition: Callable[[], Value], deadline_seconds: float = 10.0, what: str = "") -> Value:
    """The first truthy value of `condition`. Fails the test, saying `what` was awaited, when the deadline passes."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            awaited = what or getattr(condition, "__doc__", None) or "the condition holds"
            raise AssertionError(f"waited {deadline_seconds} s, and it is not so that {awaited}; last seen: {value!r}")
        time.sleep(POLL_SECONDS)
