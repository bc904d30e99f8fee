"""A scripted executor in the place of an LLM: told a task and a step, it does the step and says what it found. Pure.

It remembers nothing from one call to the next. Whatever it has to know about the work comes in as arguments, and they
come from `get_next_step`: so it makes no difference which process asks it.
"""

from typing import NamedTuple

GOAL = "Bill customers in their own currency"


class Work(NamedTuple):
    """A task of the plan, and when it is done."""

    title: str
    criteria: tuple[str, ...]


class Result(NamedTuple):
    """What came of a step. `next_step` None: the task is done, and `left_off` says what shows it."""

    left_off: str
    next_step: str | None
    refs: tuple[str, ...] = ()


PLAN = (
    Work("Move the invoices to the new table", ("every invoice is in invoices_v2", "no amount has changed")),
    Work("Switch the billing job over", ("the nightly run writes to invoices_v2",)),
)
"""Each task depends on the one before."""

HANGS_IN = "Run the migration on last night's copy of the database"
LEAVES_BEFORE = "Ask the on-call person for a time to switch"

SCRIPT: dict[tuple[str, str | None], Result] = {
    (PLAN[0].title, None): Result(
        "invoices has 14 columns. Three of them hold amounts, all without a currency.",
        "Write the migration that adds the currency to each amount",
        ("docs/schema.md#invoices",),
    ),
    (PLAN[0].title, "Write the migration that adds the currency to each amount"): Result(
        "The migration is written and reviewed. It has not been run on real data yet.",
        HANGS_IN,
        ("migrations/0042_currency.sql", "backups/last-night.dump"),
    ),
    (PLAN[0].title, HANGS_IN): Result(
        "The migration ran on the copy: 48,112 invoices in 41 s, none refused.",
        "Compare the sum of all amounts before and after",
        ("reports/0042-dry-run.txt",),
    ),
    (PLAN[0].title, "Compare the sum of all amounts before and after"): Result(
        "48,112 invoices moved; the sums agree to the cent.", None
    ),
    (PLAN[1].title, None): Result(
        "The job is ready to write to the new table. Both tables are filled until it is switched.",
        LEAVES_BEFORE,
        ("jobs/billing.yaml", "runbooks/switch-over.md"),
    ),
}


def carry_out(title: str, step: str | None) -> Result:
    """Do one step of a task. `step` None: the task has only just been started."""
    return SCRIPT[title, step]
