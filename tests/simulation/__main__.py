"""`python -m tests.simulation [FIRST] [COUNT]`: a campaign of any length, and how often everything happened."""

import sys
from collections import Counter

from tests.simulation.world import World

SEEDS = 1_000


def main(first: int = 0, count: int = SEEDS) -> int:
    """Stop at the first seed that breaks; its traceback names the checker."""
    total: Counter[str] = Counter()
    for seed in range(first, first + count):
        try:
            total += World(seed).run().counts
        except Exception:
            sys.stderr.write(f"seed {seed} breaks\n")
            raise
    lines = [*sorted(total.items()), ("seeds, and nothing broke", count)]
    sys.stdout.writelines(f"{number:>9}  {name}\n" for name, number in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
