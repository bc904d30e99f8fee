-- The tasks that depend on the given ones.
SELECT DISTINCT workflow_id, task_id
FROM unnest(%s::uuid[], %s::uuid[]) AS finished (workflow_id, depends_on)
JOIN task_dependencies USING (workflow_id, depends_on)
