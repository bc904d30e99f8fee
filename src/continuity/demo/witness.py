"""`python -m continuity.demo.witness PROJECT`: asks for the next step and writes the answer's bytes as they came.

A process of its own for each question: whatever two of them agree on, they do not have it from each other.
"""

import sys

import httpx

from continuity.client.access import access

TIMEOUT_SECONDS = 15.0


def main() -> None:
    """Ask once."""
    at = access()
    response = httpx.get(
        f"{at.url}/v1/projects/{sys.argv[1]}/next-step",
        headers={"Authorization": f"Bearer {at.key}"},
        timeout=TIMEOUT_SECONDS,
        trust_env=not at.is_local,
    )
    response.raise_for_status()
    sys.stdout.buffer.write(response.content)


if __name__ == "__main__":
    main()
