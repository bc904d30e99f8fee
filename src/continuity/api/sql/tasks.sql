SELECT t.workflow_id, t.task_id, t.goal_id, t.status, t.created_seq, t.changed_seq, t.unmet_count, t.checkpoint_seq,
       t.doc, t.digest
FROM workflows w JOIN tasks t USING (workflow_id) WHERE w.workflow_id = %s AND w.tenant = %s
