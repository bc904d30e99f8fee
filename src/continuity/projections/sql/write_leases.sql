INSERT INTO workflow_leases (workflow_id, owner_id, acquired_at, lease_expires_at, fencing_token, heartbeat_at,
                             ended_at, digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, owner_id text, acquired_at timestamptz, lease_expires_at timestamptz, fencing_token bigint,
    heartbeat_at timestamptz, ended_at timestamptz, digest bytea)
ON CONFLICT (workflow_id) DO UPDATE
SET owner_id = excluded.owner_id, acquired_at = excluded.acquired_at, lease_expires_at = excluded.lease_expires_at,
    fencing_token = excluded.fencing_token, heartbeat_at = excluded.heartbeat_at, ended_at = excluded.ended_at,
    digest = excluded.digest
