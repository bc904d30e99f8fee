SELECT c.workflow_id, c.task_id, c.seq, c.doc, c.digest
FROM workflows w JOIN checkpoints c USING (workflow_id) WHERE w.workflow_id = %s AND w.tenant = %s
