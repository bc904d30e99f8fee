DELETE FROM entities USING unnest(%s::uuid[], %s::text[], %s::text[]) AS gone (workflow_id, collection, key)
WHERE entities.workflow_id = gone.workflow_id AND entities.collection = gone.collection AND entities.key = gone.key
