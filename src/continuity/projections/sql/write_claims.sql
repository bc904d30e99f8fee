INSERT INTO task_claims (workflow_id, task_id, owner_id, acquired_at, lease_expires_at, fencing_token, heartbeat_at,
                         digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, task_id uuid, owner_id text, acquired_at timestamptz, lease_expires_at timestamptz,
    fencing_token bigint, heartbeat_at timestamptz, digest bytea)
ON CONFLICT (workflow_id, task_id) DO UPDATE
SET owner_id = excluded.owner_id, acquired_at = excluded.acquired_at, lease_expires_at = excluded.lease_expires_at,
    fencing_token = excluded.fencing_token, heartbeat_at = excluded.heartbeat_at, digest = excluded.digest
