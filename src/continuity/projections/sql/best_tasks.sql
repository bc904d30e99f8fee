-- Of each goal the best task by each rule of the next step: one index entry each, however many tasks the goal has.
SELECT wanted.workflow_id, wanted.goal_id,
    (SELECT changed_seq FROM tasks t
     WHERE t.workflow_id = wanted.workflow_id AND t.goal_id = wanted.goal_id AND status = 'doing'
     ORDER BY changed_seq DESC LIMIT 1),
    (SELECT changed_seq FROM tasks t
     WHERE t.workflow_id = wanted.workflow_id AND t.goal_id = wanted.goal_id AND status = 'blocked'
     ORDER BY changed_seq DESC LIMIT 1),
    (SELECT created_seq FROM tasks t
     WHERE t.workflow_id = wanted.workflow_id AND t.goal_id = wanted.goal_id AND status = 'todo' AND unmet_count = 0
     ORDER BY created_seq LIMIT 1)
FROM unnest(%s::uuid[], %s::uuid[]) AS wanted (workflow_id, goal_id)
