-- How far the fencing tokens of workflows have been projected; of a stopped one nothing more will be.
SELECT workflow_id, token_counter, stopped_reason IS NOT NULL FROM workflows WHERE workflow_id = ANY(%s::uuid[])
