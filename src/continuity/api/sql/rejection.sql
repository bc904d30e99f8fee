SELECT project, workflow_id, code, detail, fix
FROM rejections WHERE command_id = %s AND tenant = %s ORDER BY timestamp DESC LIMIT 1
