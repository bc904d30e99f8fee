DELETE FROM task_claims USING unnest(%s::uuid[], %s::uuid[]) AS gone (workflow_id, task_id)
WHERE task_claims.workflow_id = gone.workflow_id AND task_claims.task_id = gone.task_id
