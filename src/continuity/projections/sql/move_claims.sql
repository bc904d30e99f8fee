UPDATE task_claims c
SET lease_expires_at = moved.lease_expires_at, heartbeat_at = moved.heartbeat_at, digest = moved.digest
FROM json_to_recordset(%s::json) AS moved (
    workflow_id uuid, task_id uuid, fencing_token bigint, lease_expires_at timestamptz, heartbeat_at timestamptz,
    digest bytea)
WHERE c.workflow_id = moved.workflow_id AND c.task_id = moved.task_id AND c.fencing_token = moved.fencing_token
