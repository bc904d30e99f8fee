SELECT workflow_id, task_id, owner_id, (extract(epoch FROM acquired_at) * 1000000)::bigint,
       (extract(epoch FROM lease_expires_at) * 1000000)::bigint, fencing_token,
       (extract(epoch FROM heartbeat_at) * 1000000)::bigint, digest
FROM unnest(%s::uuid[], %s::uuid[]) AS wanted (workflow_id, task_id) JOIN task_claims USING (workflow_id, task_id)
