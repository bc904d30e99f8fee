DELETE FROM checkpoints USING unnest(%s::uuid[], %s::uuid[]) AS gone (workflow_id, task_id)
WHERE checkpoints.workflow_id = gone.workflow_id AND checkpoints.task_id = gone.task_id
