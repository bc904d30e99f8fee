-- A workflow's head names its next step's task: three look-ups by key, for ten tasks and for ten thousand.
-- The tenant is named here and not by a statement before, for one message to the server. It is named in time: LATERAL
-- needs the value to begin with, and OFFSET 0 keeps it a query of its own. (If not, no row would be seen.)
WITH caller AS MATERIALIZED (SELECT %s::uuid AS workflow_id, set_config('continuity.tenant', %s, true) AS tenant)
SELECT found.*
FROM caller CROSS JOIN LATERAL (
    SELECT w.workflow_id, w.tenant, w.project, w.partition, w.head_seq, w.head_hash,
           (extract(epoch FROM w.head_timestamp) * 1000000)::bigint, w.state_checksum, w.token_counter,
           w.late_results, w.stopped_reason, w.next_rule, w.next_task_id, w.next_key, w.digest,
           t.workflow_id AS t1, t.task_id AS t2, t.goal_id, t.status, t.created_seq, t.changed_seq, t.unmet_count,
           t.checkpoint_seq, t.doc, t.digest AS t3,
           c.workflow_id AS c1, c.task_id AS c2, c.seq, c.doc AS c3, c.digest AS c4
    FROM workflows w
    LEFT JOIN tasks t ON t.workflow_id = w.workflow_id AND t.task_id = w.next_task_id
    LEFT JOIN checkpoints c ON c.workflow_id = t.workflow_id AND c.task_id = t.task_id
    WHERE w.workflow_id = caller.workflow_id AND w.tenant || '' = caller.tenant
    OFFSET 0
) AS found
