-- A workflow's head names its next step's task: three look-ups by key, for ten tasks and for ten thousand.
SELECT w.workflow_id, w.tenant, w.project, w.partition, w.head_seq, w.head_hash,
       (extract(epoch FROM w.head_timestamp) * 1000000)::bigint, w.state_checksum, w.stopped_reason,
       w.next_rule, w.next_task_id, w.next_key, w.digest,
       t.workflow_id, t.task_id, t.goal_id, t.status, t.created_seq, t.changed_seq, t.unmet_count, t.checkpoint_seq,
       t.doc, t.digest,
       c.workflow_id, c.task_id, c.seq, c.doc, c.digest
FROM workflows w
LEFT JOIN tasks t ON t.workflow_id = w.workflow_id AND t.task_id = w.next_task_id
LEFT JOIN checkpoints c ON c.workflow_id = t.workflow_id AND c.task_id = t.task_id
WHERE w.workflow_id = %s AND w.tenant = %s
