SELECT l.workflow_id, l.command_id, l.tenant, l.project, l.step_id, l.attempt_id, l.task_id, l.fencing_token,
       l.result_ref, l.result_checksum, l.operator_id, (extract(epoch FROM l.refused_at) * 1000000)::bigint, l.digest
FROM workflows w JOIN late_results l USING (workflow_id)
WHERE w.workflow_id = %s AND w.tenant = %s AND (%s::uuid IS NULL OR l.task_id = %s)
ORDER BY l.refused_at DESC, l.command_id LIMIT %s
