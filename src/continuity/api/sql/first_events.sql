-- The same page as projects.sql, from the other side: a project began with its first event.
SELECT workflow_id, project
FROM events WHERE event_seq = 1 AND tenant = %s AND project COLLATE "C" > %s ORDER BY project COLLATE "C" LIMIT %s
