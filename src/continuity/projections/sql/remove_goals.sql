DELETE FROM goals USING unnest(%s::uuid[], %s::uuid[]) AS gone (workflow_id, goal_id)
WHERE goals.workflow_id = gone.workflow_id AND goals.goal_id = gone.goal_id
