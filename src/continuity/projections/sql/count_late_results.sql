SELECT workflow_id, count(*) FROM late_results WHERE workflow_id = ANY(%s::uuid[]) GROUP BY workflow_id
