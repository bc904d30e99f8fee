SELECT workflow_id, task_id, seq, doc, digest
FROM unnest(%s::uuid[], %s::uuid[]) AS wanted (workflow_id, task_id) JOIN checkpoints USING (workflow_id, task_id)
