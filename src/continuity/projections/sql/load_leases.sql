SELECT workflow_id, owner_id, (extract(epoch FROM acquired_at) * 1000000)::bigint,
       (extract(epoch FROM lease_expires_at) * 1000000)::bigint, fencing_token,
       (extract(epoch FROM heartbeat_at) * 1000000)::bigint, (extract(epoch FROM ended_at) * 1000000)::bigint, digest
FROM workflow_leases WHERE workflow_id = ANY(%s::uuid[])
