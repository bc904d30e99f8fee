INSERT INTO snapshots (snapshot_id, workflow_id, step_number, last_event_seq, state_inline, state_s3_key,
                       state_checksum, created_at, head_hash, number, window_bytes, size_bytes, digest)
VALUES (%s, %s, %s, %s, %s::text::jsonb, %s, %s, %s::text::timestamptz, %s, %s, %s, %s, %s)
ON CONFLICT (snapshot_id) DO UPDATE  -- a damaged one, made again
SET workflow_id = excluded.workflow_id, step_number = excluded.step_number, last_event_seq = excluded.last_event_seq,
    state_inline = excluded.state_inline, state_s3_key = excluded.state_s3_key,
    state_checksum = excluded.state_checksum, created_at = excluded.created_at, head_hash = excluded.head_hash,
    number = excluded.number, window_bytes = excluded.window_bytes, size_bytes = excluded.size_bytes,
    digest = excluded.digest
