-- Without ON CONFLICT, as the attempts.
INSERT INTO completed_steps (workflow_id, step_id, attempt_id, completed_at, result_snapshot_ref, result_checksum,
                             digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, step_id text, attempt_id integer, completed_at timestamptz, result_snapshot_ref text,
    result_checksum text, digest bytea)
