INSERT INTO task_dependencies (workflow_id, depends_on, task_id)
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[])
ON CONFLICT DO NOTHING
