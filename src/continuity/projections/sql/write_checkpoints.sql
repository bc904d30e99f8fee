INSERT INTO checkpoints (workflow_id, task_id, seq, doc, digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, task_id uuid, seq bigint, doc text, digest bytea)
ON CONFLICT (workflow_id, task_id) DO UPDATE
SET seq = excluded.seq, doc = excluded.doc, digest = excluded.digest
