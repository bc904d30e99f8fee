SELECT workflow_id, task_id, goal_id, status, created_seq, changed_seq, unmet_count, checkpoint_seq, doc, digest
FROM unnest(%s::uuid[], %s::uuid[]) AS wanted (workflow_id, task_id) JOIN tasks USING (workflow_id, task_id)
