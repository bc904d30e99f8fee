INSERT INTO goals (workflow_id, goal_id, status, priority, doing_seq, blocked_seq, ready_seq, doc, digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, goal_id uuid, status text, priority integer, doing_seq bigint, blocked_seq bigint,
    ready_seq bigint, doc text, digest bytea)
ON CONFLICT (workflow_id, goal_id) DO UPDATE
SET status = excluded.status, priority = excluded.priority, doing_seq = excluded.doing_seq,
    blocked_seq = excluded.blocked_seq, ready_seq = excluded.ready_seq, doc = excluded.doc, digest = excluded.digest
