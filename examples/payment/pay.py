"""The executor: claims the task, charges the bank in a step, completes the task. `pay.py PROJECT TASK_ID BANK [POINT]`.

With a POINT it ends there, as if the power had gone: right before or after its n-th call, to the service or the bank.
Run again without one it goes on, and charges nobody twice.
"""

# ruff: noqa: INP001, T201 - a script

import os
import sys
from typing import Any

import httpx

from continuity import Continuity, IllegalTransition
from continuity.client import wire

KILLED = 42
CENTS = 4_200


class Points:
    """Counts the points of the sequence, and ends the process at the chosen one."""

    def __init__(self, chosen: int) -> None:
        self.chosen = chosen
        self.passed = 0

    def reach(self, name: str) -> None:
        """Be at the next point."""
        self.passed += 1
        if self.passed == self.chosen:
            print(name, flush=True)
            os._exit(KILLED)  # no exit handlers, no releases, no goodbyes


class Mortal(Continuity):
    """The client, with a point before and after each call: sent or not, answered or not."""

    points: Points

    def _carry_out(self, send: wire.Send) -> wire.Received | wire.Failed:
        what = f"{send.method} {send.path.partition('?')[0].rsplit('/', 1)[-1]:.20}"
        self.points.reach(f"before {what}")
        came = super()._carry_out(send)
        self.points.reach(f"after {what}")
        return came


def charge(bank: str, key: str, points: Points) -> dict[str, Any]:
    """Charge, under the key that is the same for every attempt."""
    points.reach("before the charge")
    receipt: dict[str, Any] = httpx.post(f"{bank}/charges", json={"key": key, "cents": CENTS}, trust_env=False).json()
    points.reach("after the charge")
    return receipt


def charged(bank: str, key: str) -> dict[str, Any] | None:
    """Whether an earlier attempt has come through."""
    answer = httpx.get(f"{bank}/charges/{key}", trust_env=False)
    receipt: dict[str, Any] | None = answer.json() if answer.is_success else None
    return receipt


def pay(work: Continuity, task_id: str, bank: str, points: Points) -> None:
    """Do the task, from wherever it was left."""
    with work.claim("payer", ttl_seconds=30, task_id=task_id) as claim:
        with claim.step("charge:" + task_id, type="non_idempotent") as step:
            if step.is_new:
                key = step.external_key or ""
                earlier = charged(bank, key) if step.ambiguous else None
                step.result = earlier or charge(bank, key, points)
        claim.complete_task(task_id, evidence=f"receipt {step.result['receipt']}", wait="materialized")


def main(project: str, task_id: str, bank: str, point: str = "0") -> int:
    """Pay once, or die trying."""
    points = Points(int(point))
    with Mortal(project) as work:
        work.points = points
        try:
            pay(work, task_id, bank, points)
        except IllegalTransition:
            print("the task is done")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
