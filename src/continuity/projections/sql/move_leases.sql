UPDATE workflow_leases l
SET lease_expires_at = moved.lease_expires_at, heartbeat_at = moved.heartbeat_at, digest = moved.digest
FROM json_to_recordset(%s::json) AS moved (
    workflow_id uuid, fencing_token bigint, lease_expires_at timestamptz, heartbeat_at timestamptz, digest bytea)
WHERE l.workflow_id = moved.workflow_id AND l.fencing_token = moved.fencing_token
