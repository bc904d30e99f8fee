-- A refusal is not remembered, so a command that is repeated is refused again: the first time counts. What is
-- new is returned, for the count in the heads of its workflows.
INSERT INTO late_results (workflow_id, command_id, tenant, project, step_id, attempt_id, task_id, fencing_token,
                          result_ref, result_checksum, operator_id, refused_at, digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, command_id uuid, tenant text, project text, step_id text, attempt_id integer, task_id uuid,
    fencing_token bigint, result_ref text, result_checksum text, operator_id text, refused_at timestamptz,
    digest bytea)
ON CONFLICT (workflow_id, command_id) DO NOTHING
RETURNING workflow_id
