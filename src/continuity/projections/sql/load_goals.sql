SELECT workflow_id, goal_id, status, priority, doing_seq, blocked_seq, ready_seq, doc, digest
FROM unnest(%s::uuid[], %s::uuid[]) AS wanted (workflow_id, goal_id) JOIN goals USING (workflow_id, goal_id)
