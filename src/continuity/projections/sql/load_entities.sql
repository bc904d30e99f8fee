SELECT workflow_id, collection, key, doc, digest
FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS wanted (workflow_id, collection, key)
JOIN entities USING (workflow_id, collection, key)
