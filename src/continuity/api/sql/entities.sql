SELECT e.workflow_id, e.collection, e.key, e.doc, e.digest
FROM workflows w JOIN entities e USING (workflow_id) WHERE w.workflow_id = %s AND w.tenant = %s
