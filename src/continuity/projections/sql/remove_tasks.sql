DELETE FROM tasks USING unnest(%s::uuid[], %s::uuid[]) AS gone (workflow_id, task_id)
WHERE tasks.workflow_id = gone.workflow_id AND tasks.task_id = gone.task_id
