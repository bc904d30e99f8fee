"""The next step as the rows say it, held against the core: what shows that a row was damaged which nobody reads.

The projector chooses the next step by the columns of an index, and never looks at all goals and tasks. One that has
rotten may hide the task that comes next, and so may a dependency that is lost; the head would then be written with
another one, and a digest that fits. So now and then the choice is made from the state, too. It takes as long as
parsing all tasks, which is why it is done when a snapshot is taken, and not with every event.
"""

from collections.abc import Iterable
from typing import Final

from continuity.core.next_step import choose
from continuity.core.state import State
from continuity.errors import IntegrityError
from continuity.postgres import BoundedConnection

CHOSEN: Final = """
SELECT next_rule, next_task_id, next_key FROM workflows WHERE workflow_id = %s AND head_seq = %s
"""


def check(connection: BoundedConnection, states: Iterable[State]) -> None:
    """Compare heads that were just written with their states. Raises IntegrityError, which names the first workflow."""
    for state in states:
        found = connection.execute(CHOSEN.encode(), (state.workflow_id, state.head_seq)).fetchone()
        choice = choose(state)
        right = (choice.rank["rule"], choice.task["task_id"] if choice.task else None, choice.rank["key"])
        if found != right:
            raise IntegrityError(
                f"The rows of workflow {state.workflow_id} do not lead to its next step at event {state.head_seq}: "
                f"a goal, a task or a dependency is damaged there.",
                workflow_id=state.workflow_id,
                event_seq=state.head_seq,
                field="next_task_id",
            )
