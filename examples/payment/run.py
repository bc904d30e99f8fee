"""`python examples/payment/run.py [--json]`: a payment for each point at which an executor can die, one charge each.

Needs the stack (`continuity up`). For the first payment the executor is killed at the first point of its sequence, for
the second at the second, and so on until it lives to the end; each time it is started again and finishes the work.
"""

# ruff: noqa: INP001, T201 - a script

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from bank import Bank, open_bank
from pay import KILLED

from continuity import Continuity

PAY = Path(__file__).with_name("pay.py")
RUN_SECONDS_MAX = 60


class Payment(NamedTuple):
    """How one payment went: where its executor died (empty if it did not), and what the bank has seen."""

    died: str
    attempts: int
    calls: int
    charges: int
    done: bool

    @property
    def ok(self) -> bool:
        """Whether the money went once, and the task is done."""
        return self.charges == 1 and self.done


def execute(project: str, task_id: str, bank: Bank, point: int) -> tuple[int, str]:
    """Run the executor as a process; its exit code, and the last that it said."""
    words = [sys.executable, str(PAY), project, task_id, bank.url, str(point)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False)
    if ended.returncode not in (0, KILLED):
        raise RuntimeError(f"The executor failed: {ended.stderr}")
    return ended.returncode, ended.stdout.strip()


def pay_once(work: Continuity, goal_id: str, bank: Bank, point: int) -> Payment:
    """One payment whose executor dies at the point, and is started again."""
    task_id = work.add_task(goal_id, f"Pay invoice {point}")["task_id"]
    before = set(bank.receipts)
    code, died = execute(work.project, task_id, bank, point)
    if code == KILLED:
        execute(work.project, task_id, bank, 0)
    keys = set(bank.receipts) - before
    task = next(task for task in work.state()["tasks"] if task["task_id"] == task_id)
    attempts = sum(event["event_type"] == "step_begun" and event["task_id"] == task_id for event in work.events())
    calls, charges = sum(bank.calls[key] for key in keys), sum(bank.charges[key] for key in keys)
    return Payment(died if code == KILLED else "", attempts, calls, charges, task["status"] == "done")


def main() -> int:
    """Die everywhere once."""
    as_json = "--json" in sys.argv[1:]
    payments: list[Payment] = []
    with open_bank() as bank, Continuity(f"payment-{uuid.uuid4().hex[:8]}") as work:
        goal_id = work.create_goal("Pay the invoices")["goal_id"]
        while not payments or payments[-1].died:
            payment = pay_once(work, goal_id, bank, len(payments) + 1)
            payments.append(payment)
            if not as_json:
                where = payment.died or "lived"
                print(
                    f"{len(payments):>3}  {where:<28} attempts {payment.attempts}  calls {payment.calls}"
                    f"  charges {payment.charges}  {'done' if payment.done else 'NOT DONE'}"
                )
    ok = all(payment.ok for payment in payments)
    told: dict[str, Any] = {
        "ok": ok,
        "payments": len(payments),
        "killed": sum(bool(payment.died) for payment in payments),
        "charges": sum(payment.charges for payment in payments),
    }
    print(json.dumps(told))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
