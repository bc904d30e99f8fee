-- An attempt that is there already, or a second completion, is an error: it stops its workflow.
INSERT INTO step_attempts (workflow_id, step_id, attempt_id, started_at, fencing_token, digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, step_id text, attempt_id integer, started_at timestamptz, fencing_token bigint, digest bytea)
