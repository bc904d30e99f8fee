SELECT workflow_id, tenant, project, partition, head_seq, head_hash,
       (extract(epoch FROM head_timestamp) * 1000000)::bigint, state_checksum, token_counter, late_results,
       stopped_reason, next_rule, next_task_id, next_key, digest
FROM workflows WHERE workflow_id = %s AND tenant = %s
