-- Of each workflow the task that the rules of the next step choose: the best goal by each rule, and its best task.
-- (The task is looked up in the order of the index: joined by its number, the planner used the workflow's part only.)
SELECT wanted.workflow_id, next.rule, next.task_id, next.key
FROM unnest(%s::uuid[]) AS wanted (workflow_id)
CROSS JOIN LATERAL (
    (SELECT 1 AS rule,
            (SELECT task_id FROM tasks t
             WHERE t.workflow_id = g.workflow_id AND t.goal_id = g.goal_id AND t.status = 'doing'
             ORDER BY changed_seq DESC LIMIT 1) AS task_id,
            ARRAY[doing_seq] AS key
     FROM goals g
     WHERE g.workflow_id = wanted.workflow_id AND status = 'active' AND doing_seq IS NOT NULL
     ORDER BY doing_seq DESC LIMIT 1)
    UNION ALL
    (SELECT 2,
            (SELECT task_id FROM tasks t
             WHERE t.workflow_id = g.workflow_id AND t.goal_id = g.goal_id AND t.status = 'blocked'
             ORDER BY changed_seq DESC LIMIT 1),
            ARRAY[blocked_seq]
     FROM goals g
     WHERE g.workflow_id = wanted.workflow_id AND status = 'active' AND blocked_seq IS NOT NULL
     ORDER BY blocked_seq DESC LIMIT 1)
    UNION ALL
    (SELECT 3,
            (SELECT task_id FROM tasks t
             WHERE t.workflow_id = g.workflow_id AND t.goal_id = g.goal_id AND t.status = 'todo' AND t.unmet_count = 0
             ORDER BY created_seq LIMIT 1),
            ARRAY[priority::bigint, ready_seq]
     FROM goals g
     WHERE g.workflow_id = wanted.workflow_id AND status = 'active' AND ready_seq IS NOT NULL
     ORDER BY priority DESC, ready_seq LIMIT 1)
    UNION ALL
    (SELECT 4, NULL::uuid, ARRAY[]::bigint[])
    ORDER BY rule LIMIT 1
) next
