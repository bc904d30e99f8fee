-- All of a workflow's: only then can be seen that none is missing, and that none is hidden from its task or its page.
SELECT l.workflow_id, l.command_id, l.tenant, l.project, l.step_id, l.attempt_id, l.task_id, l.fencing_token,
       l.result_ref, l.result_checksum, l.operator_id, (extract(epoch FROM l.refused_at) * 1000000)::bigint, l.digest
FROM workflows w JOIN late_results l USING (workflow_id)
WHERE w.workflow_id = %s AND w.tenant = %s
ORDER BY l.refused_at DESC, l.command_id
