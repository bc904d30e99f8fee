-- Projects of a tenant that may have something to claim: first those with a task that was left behind, then those with
-- a ready one, by the highest priority of such a goal. A hint: the sequencer of each project decides, by its own clock.
-- A project without any open task has next_rule 4 and costs nothing but its row.
SELECT w.project
FROM workflows w
CROSS JOIN LATERAL (
    SELECT max(g.priority) AS ready_priority
    FROM goals g
    WHERE g.workflow_id = w.workflow_id AND g.status = 'active' AND g.ready_seq IS NOT NULL
) ready
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM goals g
        JOIN tasks t ON t.workflow_id = g.workflow_id AND t.goal_id = g.goal_id AND t.status = 'doing'
        LEFT JOIN task_claims c ON c.workflow_id = t.workflow_id AND c.task_id = t.task_id
        WHERE g.workflow_id = w.workflow_id AND g.status = 'active' AND g.doing_seq IS NOT NULL
          AND (c.task_id IS NULL OR c.lease_expires_at <= now())
    ) AS is_left_behind
) doing
LEFT JOIN workflow_leases l ON l.workflow_id = w.workflow_id AND l.lease_expires_at > now()
WHERE w.tenant = %s AND w.stopped_reason IS NULL AND w.next_rule < 4
  AND (doing.is_left_behind OR ready.ready_priority IS NOT NULL)
ORDER BY l.workflow_id IS NOT NULL, doing.is_left_behind DESC, ready.ready_priority DESC NULLS LAST, w.project
LIMIT %s
