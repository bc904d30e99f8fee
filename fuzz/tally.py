"""What came of the requests, counted: answers by operation and status, and failed checks, each kind once.

Used on both sides: filled and written by `fuzz.hooks` in an environment of its own, read and added up by the run.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

SERVER_ERROR = "not_a_server_error"
"""The check whose failures are counted as answers, and not a second time as violations."""


class Failure(NamedTuple):
    """A check that failed, of an operation, with the title of what was wrong."""

    operation: str
    check: str
    title: str


@dataclass
class Tally:
    """Counts. `unanswered` are requests whose connection ended without an answer."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: Counter[Failure] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """All that were sent."""
        return self.answers.total() + self.unanswered.total()

    @property
    def server_errors(self) -> int:
        """Answers with a status of 500 or more."""
        return sum(count for (_, status), count in self.answers.items() if status >= HTTPStatus.INTERNAL_SERVER_ERROR)

    @property
    def violations(self) -> list[Failure]:
        """What contradicts the document, and each operation that gave no answer at all."""
        silent = [Failure(operation, "no answer", "The connection ended") for operation in self.unanswered]
        return sorted([*(each for each in self.failures if each.check != SERVER_ERROR), *silent])

    @property
    def statuses(self) -> dict[str, int]:
        """How often each status was answered."""
        found: Counter[int] = Counter()
        for (_, status), count in self.answers.items():
            found[status] += count
        return {str(status): found[status] for status in sorted(found)}

    def of_operation(self, operation: str) -> dict[int, int]:
        """How often an operation answered with each status."""
        return {status: count for (name, status), count in sorted(self.answers.items()) if name == operation}

    @property
    def operations(self) -> list[str]:
        """All that were asked, by name."""
        return sorted({name for name, _ in self.answers} | set(self.unanswered))

    def add(self, other: "Tally") -> None:
        """Count what another run saw, too."""
        self.answers += other.answers
        self.failures += other.failures
        self.unanswered += other.unanswered

    def write(self, path: Path) -> None:
        """Into a file."""
        told = {
            "answers": _rows(self.answers.items()),
            "failures": _rows(self.failures.items()),
            "unanswered": dict(self.unanswered),
        }
        path.write_text(json.dumps(told), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Tally":
        """What `write` wrote."""
        told = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            Counter({(operation, status): count for operation, status, count in told["answers"]}),
            Counter({Failure(*names): count for *names, count in told["failures"]}),
            Counter(told["unanswered"]),
        )


def _rows(counted: Iterable[tuple[tuple[object, ...], int]]) -> list[list[object]]:
    return [[*key, count] for key, count in counted]
