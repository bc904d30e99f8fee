INSERT INTO entities (workflow_id, collection, key, doc, digest)
SELECT * FROM json_to_recordset(%s::json) AS written (
    workflow_id uuid, collection text, key text, doc text, digest bytea)
ON CONFLICT (workflow_id, collection, key) DO UPDATE SET doc = excluded.doc, digest = excluded.digest
