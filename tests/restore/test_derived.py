"""A row that rots where nobody reads it does not change the next step for long: the core is asked, too."""

import pytest

from continuity.errors import IntegrityError
from tests.projections.histories import Project
from tests.restore.conftest import Keeping

pytestmark = pytest.mark.stack
EVERY = 10


@pytest.fixture(scope="module")
def project() -> Project:
    """A task that waits for another one, which is done after event 8; then the work goes on elsewhere."""
    made = Project("derived")
    goal, other = (made.do("create_goal", text=text, priority=priority) for text, priority in (("a", 2), ("b", 1)))
    assert goal is not None
    assert other is not None
    first = made.do("add_task", goal_id=goal["goal_id"], title="first")
    assert first is not None
    made.do("add_task", goal_id=goal["goal_id"], title="waits", depends_on=[first["task_id"]])
    last = made.do("add_task", goal_id=other["goal_id"], title="last")
    made.do("add_task", goal_id=goal["goal_id"], title="later")
    assert last is not None
    made.do("start_task", task_id=first["task_id"])
    made.do("complete_task", task_id=first["task_id"], evidence="done")
    while len(made.events) < 2 * EVERY:
        made.do("start_task", task_id=last["task_id"])
        made.do("pause_task", task_id=last["task_id"])
    return made


ROT = {
    "a lost dependency": "DELETE FROM task_dependencies WHERE workflow_id = %s",
    "a task that seems blocked": "UPDATE tasks SET status = 'blocked' WHERE workflow_id = %s AND unmet_count = 1",
    "a goal that seems to have no task": "UPDATE goals SET ready_seq = NULL WHERE workflow_id = %s AND priority = 2",
    "a goal that seems paused": "UPDATE goals SET status = 'paused' WHERE workflow_id = %s AND priority = 2",
}


@pytest.mark.parametrize("rot", ROT)
def test_a_next_step_that_is_not_the_cores_is_not_written_with_a_snapshot(
    keeping: Keeping, project: Project, rot: str
) -> None:
    kept = keeping(every_events=EVERY)
    done = 8 if rot.startswith("a goal") else 7
    kept.project(project.events[:done])
    kept.change(ROT[rot], project.workflow)
    with pytest.raises(IntegrityError) as raised:
        kept.project(project.events[done:])
    assert raised.value.workflow_id == project.workflow
    assert raised.value.field
    assert kept.rows("SELECT head_seq FROM workflows") == [(done,)], "nothing of it is written"


def test_sound_rows_lead_to_the_next_step(keeping: Keeping, project: Project) -> None:
    kept = keeping(every_events=1)
    for at in range(0, len(project.events), 3):
        kept.project(project.events[at : at + 3])
    assert kept.seqs() == list(range(10, 21))
