INSERT INTO workflows (workflow_id, tenant, project, partition, head_seq, head_hash, head_timestamp, state_checksum,
                       token_counter, late_results, stopped_reason, next_rule, next_task_id, next_key, digest)
SELECT workflow_id, tenant, project, partition, head_seq, head_hash, head_timestamp::timestamptz, state_checksum,
       token_counter, late_results, stopped_reason, next_rule, next_task_id, next_key, digest
FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, tenant text, project text, partition integer, head_seq bigint, head_hash text,
    head_timestamp text, state_checksum text, token_counter bigint, late_results bigint, stopped_reason text,
    next_rule smallint, next_task_id uuid, next_key bigint[], digest bytea)
ON CONFLICT (workflow_id) DO UPDATE
SET head_seq = excluded.head_seq, head_hash = excluded.head_hash, head_timestamp = excluded.head_timestamp,
    state_checksum = excluded.state_checksum, token_counter = excluded.token_counter,
    late_results = excluded.late_results, stopped_reason = excluded.stopped_reason, next_rule = excluded.next_rule,
    next_task_id = excluded.next_task_id, next_key = excluded.next_key, digest = excluded.digest
