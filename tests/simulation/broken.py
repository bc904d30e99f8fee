"""How a checker says no."""

from collections.abc import Callable


class Broken(AssertionError):
    """An invariant does not hold. `checker` is the function that saw it."""

    def __init__(self, checker: Callable[..., None], detail: str) -> None:
        super().__init__(f"{checker.__name__}: {detail}")
        self.checker = checker.__name__
