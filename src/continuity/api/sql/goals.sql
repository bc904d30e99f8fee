SELECT g.workflow_id, g.goal_id, g.status, g.priority, g.doing_seq, g.blocked_seq, g.ready_seq, g.doc, g.digest
FROM workflows w JOIN goals g USING (workflow_id) WHERE w.workflow_id = %s AND w.tenant = %s
