DELETE FROM task_dependencies USING unnest(%s::uuid[], %s::uuid[], %s::uuid[]) AS gone (workflow_id, depends_on, task_id)
WHERE (task_dependencies.workflow_id, task_dependencies.depends_on, task_dependencies.task_id) =
      (gone.workflow_id, gone.depends_on, gone.task_id)
