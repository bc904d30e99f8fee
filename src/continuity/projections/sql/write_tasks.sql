INSERT INTO tasks (workflow_id, task_id, goal_id, status, created_seq, changed_seq, unmet_count, checkpoint_seq, doc,
                   digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, task_id uuid, goal_id uuid, status text, created_seq bigint, changed_seq bigint,
    unmet_count integer, checkpoint_seq bigint, doc text, digest bytea)
ON CONFLICT (workflow_id, task_id) DO UPDATE
SET goal_id = excluded.goal_id, status = excluded.status, created_seq = excluded.created_seq,
    changed_seq = excluded.changed_seq, unmet_count = excluded.unmet_count,
    checkpoint_seq = excluded.checkpoint_seq, doc = excluded.doc, digest = excluded.digest
